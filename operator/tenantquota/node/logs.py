"""The log of the programs on a node: one JSON object a line, with the keys of the controller's log."""

import json
import logging
import time
from typing import Any


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "message": message,
            "timestamp": f"{stamp}.{record.msecs:03.0f}Z",
            "severity": record.levelname.lower(),
            "logger": record.name,
        }
        if (audit := getattr(record, "audit", None)) is not None:
            line["audit"] = audit
        return json.dumps(line)


def log_json(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Json())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
