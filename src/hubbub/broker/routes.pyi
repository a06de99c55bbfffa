from typing import Any

from hubbub.broker.router import Router
from hubbub.broker.topics import Catalogue, Topic
from hubbub.model.address import Address

MAX_CACHED_ROUTES: int
MAX_CACHED_LENGTH: int

class Route:
    """Where a message to one address goes, as of the last change of subscriptions and topics.

    ``observers`` get it now; ``topics`` capture it, the one that decides whether it is taken first.
    ``reserved`` addresses are closed to clients.
    """

    @property
    def address(self) -> Address: ...
    @property
    def observers(self) -> tuple[Any, ...]: ...
    @property
    def topics(self) -> tuple[Topic, ...]: ...
    @property
    def reserved(self) -> bool: ...

class Routes:
    """The one cached look-up: address -> ``Route``.

    A change of an exact subscription makes that address's route anew, any other change all of them.
    """

    def __init__(self, observers: Router[Any], catalogue: Catalogue) -> None: ...
    def of(self, address: Address) -> Route: ...
    def __len__(self) -> int:
        """How many are remembered."""

class NameCache:
    """Routes by the names that one protocol's clients write, so that a look-up makes no object.

    ``mapping`` has ``address_of(name: bytes) -> Address``, which raises InvalidAddressError.
    """

    def __init__(self, routes: Routes, mapping: Any) -> None: ...
    def of(self, name: bytes) -> Route:
        """The route of the address that ``name`` names. Raises InvalidAddressError."""
