import socket as sockets
from typing import NoReturn

class Relay:
    """Forwards what connections to ``socket``, which listens, send; see the module's docstring."""

    def __init__(self, socket: sockets.socket) -> None: ...
    def serve(self) -> NoReturn:
        """Forward until a signal's handler raises.

        Raises:
            OSError: no more connections can be accepted.
        """
