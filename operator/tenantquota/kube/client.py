"""One connection to the API server: requests as dictionaries, errors as types, retries where they are right.

Raised by every request:

- KubeError: the base; ``str()`` is the API server's own message
    - GoneError: 404, the object isn't there (any more)
    - RefusedError: 400, 403, 413, 422 and other 4xx: the same request would be refused again
    - UnavailableError: no answer, or 409, 429 and 5xx after all attempts
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

AGAIN: Final = frozenset({409, 429, 500, 502, 503, 504})
_OTHER_UID: Final = "Precondition failed: UID"
"""Another object has the name by now."""
_ATTEMPTS: Final = 6
_FIRST_DELAY_SECONDS: Final = 0.1
_LONGEST_DELAY_SECONDS: Final = 5.0
_TIMEOUT_SECONDS: Final = 10.0


class KubeError(Exception):
    """The API server didn't do as asked."""


class GoneError(KubeError):
    """The object isn't there."""


class RefusedError(KubeError):
    """The request would be refused again."""


class UnavailableError(KubeError):
    """The API server didn't answer, or was too busy, at every attempt."""


class Client:
    """Requests to one API server; made by ``connect``."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = JSON,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
        again: Collection[int] = AGAIN,
    ) -> dict[str, Any]:
        """The answer to a request; conflicts, throttling and a busy server are tried again with growing
        delays, or when the server says (Retry-After).

        Args:
            again: the HTTP statuses on which it is.
        """
        problem = ""
        for attempt in range(_ATTEMPTS):
            try:
                status, text, retry_after = await self._send(
                    method=method,
                    resource_path=path,
                    query_params=list((query or {}).items()),
                    header_params={"Accept": accept, "Content-Type": content_type},
                    body=body,
                )
            except (aiohttp.ClientError, TimeoutError) as error:
                problem, retry_after = f"no answer: {error!r}", None
            else:
                if status < 300:
                    answer: dict[str, Any] = json.loads(text) if text else {}
                    return answer
                problem = _message(status, text)
                if status == 404 or (status == 409 and _OTHER_UID in problem):
                    raise GoneError(problem)
                if status not in again:
                    raise RefusedError(problem)
            await asyncio.sleep(_delay_seconds(attempt, retry_after))
        raise UnavailableError(problem)

    async def _send(self, **parameters: Any) -> tuple[int, bytes, str | None]:
        """One attempt: status, body, Retry-After."""
        serialized = await self._api.param_serialize(**parameters, auth_settings=["BearerToken"])
        answer = await self._api.call_api(*serialized, _request_timeout=_TIMEOUT_SECONDS)
        text = await answer.read()
        return answer.status, text, answer.getheader("Retry-After")


@asynccontextmanager
async def connect(connections: int, environ: Mapping[str, str]) -> AsyncIterator[Client]:
    """A client with the pod's service account, in a cluster, or else the user's kubeconfig; at most
    ``connections`` at once."""
    configuration = Configuration()
    configuration.connection_pool_maxsize = connections
    if "KUBERNETES_SERVICE_HOST" in environ:
        load_incluster_config(client_configuration=configuration)
    else:
        await load_kube_config(client_configuration=configuration)
    async with ApiClient(configuration) as api:
        yield Client(api)


def _message(status: int, text: bytes) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}: {text[:200].decode(errors='replace')}"


def _delay_seconds(attempt: int, retry_after: str | None) -> float:
    """Grows with the attempt; a little at random, so that parallel requests don't come back together."""
    if retry_after is not None and retry_after.isdecimal():
        return min(float(retry_after), _LONGEST_DELAY_SECONDS)
    longest = min(_FIRST_DELAY_SECONDS * 2**attempt, _LONGEST_DELAY_SECONDS)
    return random.uniform(longest / 2, longest)  # noqa: S311 - no secret
