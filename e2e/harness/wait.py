"""Waiting for a condition, with a deadline and a failure that says what was missing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class NotYet(Exception):  # noqa: N818 - a report while waiting, not an error
    """Raised by a condition that doesn't hold yet; the text says what is still missing."""


class DeadlineExceededError(AssertionError):
    """A condition didn't hold in time."""


def wait_until(
    condition: Callable[[], T | None], *, what: str, deadline_seconds: float, poll_seconds: float = 0.1
) -> T:
    """The first value of ``condition`` that is true; it is asked again while it is false or raises NotYet.

    Args:
        what: completes the sentence "waited N s for ...".

    Raises:
        DeadlineExceededError: with ``what``, and what the condition said last.
    """
    start = time.monotonic()
    while True:
        try:
            value = condition()
            missing = ""
            if value:
                return value
        except NotYet as reason:
            missing = f": {reason}"
        waited = time.monotonic() - start
        if waited > deadline_seconds:
            raise DeadlineExceededError(f"waited {waited:.1f} s for {what}{missing}")
        time.sleep(poll_seconds)


async def wait_until_async(
    condition: Callable[[], Awaitable[T | None]],
    *,
    what: str,
    deadline_seconds: float,
    poll_seconds: float = 0.1,
) -> T:
    """As `wait_until`, for a condition that is awaited: who serves connections must not sleep meanwhile.

    Raises:
        DeadlineExceededError: with ``what``, and what the condition said last.
    """
    start = time.monotonic()
    while True:
        try:
            value = await condition()
            missing = ""
            if value:
                return value
        except NotYet as reason:
            missing = f": {reason}"
        waited = time.monotonic() - start
        if waited > deadline_seconds:
            raise DeadlineExceededError(f"waited {waited:.1f} s for {what}{missing}")
        await asyncio.sleep(poll_seconds)
