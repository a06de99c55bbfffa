from hubbub.broker.run import RunObserver
from hubbub.protocols.redis.clients import Client
from hubbub.protocols.redis.replies import Replies

class FrameHead:
    """What stands before channel and payload: the kind of delivery, and the pattern that matched."""

    def __init__(self, *words: bytes) -> None: ...

class ClientObserver(RunObserver):
    """Delivers to one client, in frames that begin with ``head``."""

    def __init__(self, client: Client, replies: Replies, head: FrameHead) -> None: ...
