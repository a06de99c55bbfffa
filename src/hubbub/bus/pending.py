"""A result that is still to come."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

T = TypeVar("T")


class Pending(Future[T]):
    """Wait for it in a thread with ``result(timeout)``, in a coroutine with ``await``.

    ``timeout`` is how many seconds either waits unless told otherwise; None is for ever. A wait that
    is given up takes nothing back: what was asked for may still happen.
    """

    def __init__(self, timeout: float | None = None) -> None:
        super().__init__()
        self._timeout = timeout
        self.set_running_or_notify_cancel()  # from here on nobody can cancel it

    def result(self, timeout: float | None = None) -> T:
        """The result, once it is there. Raises TimeoutError, or what went wrong."""
        return super().result(self._timeout if timeout is None else timeout)

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio

        return asyncio.wait_for(asyncio.wrap_future(self), self._timeout).__await__()


def resolved(result: T) -> Pending[T]:
    """A result that is there already."""
    pending: Pending[T] = Pending()
    pending.set_result(result)
    return pending
