"""Something that takes long and needs little: begun early, waited for late, beside other things."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Beside(Generic[T]):
    """Enters a context in a thread of its own; leaves it when it is closed."""

    def __init__(self, make: Callable[[], AbstractContextManager[T]]) -> None:
        self._make = make
        self._stack = ExitStack()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._entered: Future[T] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the context, as soon as it was entered."""
        self._thread.shutdown()
        self._stack.close()

    def begin(self) -> None:
        """Now, if it hasn't begun."""
        if self._entered is None:
            self._entered = self._thread.submit(lambda: self._stack.enter_context(self._make()))

    def result(self) -> T:
        """Waits for it.

        Raises:
            Exception: whatever it raised.
        """
        self.begin()
        assert self._entered is not None
        return self._entered.result()
