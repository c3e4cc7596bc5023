"""Reads a plan from the first line of its input and tells what comes of it. A second line, or the end of the
input, ends it: not every way to a pod's input tells of its end."""

import asyncio
import sys
import threading

from e2e.load.driver import Driver
from e2e.load.plan import Line, decode_plan, encode
from e2e.load.priority import run_first


def main() -> int:
    plan = decode_plan(sys.stdin.readline())
    driver = Driver(plan, tell, run_first)

    def until_told() -> None:
        sys.stdin.readline()
        driver.stop()

    threading.Thread(target=until_told, daemon=True).start()
    asyncio.run(driver.run())
    return 0


def tell(line: Line) -> None:
    print(encode(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
