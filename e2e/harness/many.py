"""The same for many, a few at a time."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS: Final = 8
"""More would wait for the API server of a small node all the same; the client keeps ten connections."""


def each(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """What it returns for each, in their order; all are tried.

    Raises:
        Exception: the first that one of them raised.
    """
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(function, items))
