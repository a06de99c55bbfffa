class Rewriting:
    """One batch of messages from the front of a log, stored anew at its end; for native code."""

    @property
    def count(self) -> int: ...
