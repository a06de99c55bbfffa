from collections.abc import Callable

from hubbub.broker.outbox import Outbox

NORMAL_CLOSURE: bytes

class FrameOutbox(Outbox):
    """An outbox whose chunks leave as the payload of binary frames, once framing has started."""

    last_frame: bytes
    """What is sent after all else when the connection is being closed: a Close frame."""

    def __init__(self, on_ready: Callable[[], None]) -> None: ...
    @property
    def answered(self) -> bool:
        """Whether the session has had anything to say since framing has started."""
    def start_framing(self) -> None:
        """From here on; what was written before, the answer to the handshake, leaves as it is."""
    def write_control(self, frame: bytes) -> None:
        """Send a control frame, which is whole already, as soon as no other is begun."""
