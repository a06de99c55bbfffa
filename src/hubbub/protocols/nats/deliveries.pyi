from typing import Any

from hubbub.broker.outbox import Outbox
from hubbub.broker.run import Origin, RunObserver, Style
from hubbub.model.pattern import Pattern

class NatsOrigin(Origin):
    """A reply subject and a header block, as HPUB has them."""

class MsgStyle(Style):
    """MSG and HMSG for one subscription id; clients that number theirs alike share the bytes."""

    def __init__(self, sid: bytes, headers: bool) -> None: ...

class Subscription(RunObserver):
    """One SUB. ``queue`` names the queue group that it is in, if any.

    ``session`` has ``subscriber``, ``echoes``, ``slow_consumer()`` and ``forget(subscription)``.
    """

    def __init__(
        self,
        session: Any,
        outbox: Outbox,
        style: MsgStyle,
        sid: bytes,
        pattern: Pattern,
        queue: bytes = b"",
    ) -> None: ...
    @property
    def sid(self) -> bytes: ...
    @property
    def pattern(self) -> Pattern: ...
    @property
    def share(self) -> tuple[str, bytes] | None: ...
    @property
    def session(self) -> Any: ...
    @property
    def closed(self) -> bool: ...
    @property
    def delivered(self) -> int: ...
    @property
    def limit(self) -> int:
        """After how many deliveries, from the first on, it ends; 0 if never."""
    def end_after(self, limit: int) -> bool:
        """Set the limit; whether it is reached already."""
    def restyle(self, style: MsgStyle) -> None:
        """Render what is delivered from now on so."""
    def close(self) -> None:
        """Deliver nothing more."""
