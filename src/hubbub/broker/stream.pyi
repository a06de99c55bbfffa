class StreamSession:
    """The base of native sessions: what arrives, cut anywhere, as whole stretches to parse."""

    @property
    def unparsed_bytes(self) -> int:
        """What was received of requests that are not whole yet."""
    def receive(self, data: bytes) -> None:
        """See ``hubbub.broker.session.Session``."""
    def drop_unparsed(self) -> None:
        """Forget what was received and not parsed."""
