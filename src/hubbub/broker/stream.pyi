from hubbub.broker.outbox import Outbox

class StreamSession:
    """The base of native sessions: what arrives, cut anywhere, as whole stretches to parse."""

    @property
    def outbox(self) -> Outbox: ...

    active_at: float
    """When bytes came last, in the moments of ``Timers``; subclasses see to it."""

    @property
    def paused(self) -> bool:
        """See ``hubbub.broker.session.Session``."""
    def resume(self) -> None:
        """Nothing was left: what is received is carried out at once, only reading on waits."""
    @property
    def unparsed_bytes(self) -> int:
        """What was received of requests that are not whole yet."""
    def receive(self, data: bytes) -> None:
        """See ``hubbub.broker.session.Session``."""
