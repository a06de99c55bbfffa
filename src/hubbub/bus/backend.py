"""The one seam between the Python API and where the broker is: in this process, or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hubbub.bus.message import Message
    from hubbub.bus.pending import Pending
    from hubbub.bus.published import Published
    from hubbub.bus.subscription import Subscription
    from hubbub.protocols.bus import codec


class Backend(Protocol):
    """What ``Broker`` needs of a broker. Any thread may call."""

    def publish(self, message: Message) -> Published:
        """Publish, and return once the message is durable wherever it is stored."""

    def publish_soon(self, message: Message) -> Pending[Published]:
        """Publish without waiting; messages of one thread are published in its order."""

    def subscribe(self, subscription: Subscription) -> None:
        """Give the subscription its messages from now on; in effect on return."""

    def unsubscribe(self, subscription: Subscription) -> None:
        """Undo ``subscribe``; harmless when it is undone already."""

    def subscriptions(self) -> list[Subscription]:
        """Those in effect."""

    def call(self, make: Callable[..., codec.Call], *fields: Any) -> Any:
        """The answer to ``make(number of the call, *fields)``. Raises what the broker refused it for."""

    def tell(self, notice: codec.Notice) -> None:
        """Say what needs no answer; lost if the broker is gone."""

    def close(self) -> None:
        """Let go of the broker; calls that are not answered fail."""
