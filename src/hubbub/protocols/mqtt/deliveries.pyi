from typing import Any

from hubbub.broker.outbox import Outbox
from hubbub.broker.run import Origin, RunObserver, Style

RELEASED_TOKEN: int

class MqttOrigin(Origin):
    """PUBLISH: ``headers`` of a view are its properties."""

class PublishStyle(Style):
    """PUBLISH packets; all clients with the same version and options share the bytes.

    ``identifiers`` are Subscription Identifiers, encoded as properties. The Packet Identifiers of
    QoS 1 and 2 are left for each client to fill in.
    """

    def __init__(
        self, has_properties: bool, qos: int, as_published: bool, identifiers: bytes = b""
    ) -> None: ...

class Match:
    """What a client subscribed to, as far as it matters for the messages to one address.

    ``styles`` are of QoS 0, 1 and 2; ``qos`` is the highest that was granted, and ``identifiers``
    are the Subscription Identifiers of all that match (MQTT 5 section 3.3.4).
    """

    def __init__(
        self,
        styles: tuple[PublishStyle, ...],
        qos: int,
        as_published: bool,
        identifiers: tuple[int, ...] = (),
    ) -> None: ...
    @property
    def qos(self) -> int: ...
    @property
    def as_published(self) -> bool: ...
    @property
    def identifiers(self) -> tuple[int, ...]: ...

class Outgoing:
    """Packets on their way to a client, and what is not acknowledged.

    ``owner`` has ``has_waiting``, ``keep(message, mark, match, qos)`` for what there is no room for,
    ``send(message, mark, match, qos)`` and ``slow_consumer()``.
    """

    outbox: Outbox | None
    receive_maximum: int
    one_by_one: bool
    """Each packet is made by ``send``, for a client with a limit of size or aliases."""
    keeps: bool
    """Packets of QoS 1 and 2 are made by ``send``, which keeps them to be sent again."""

    def __init__(self, owner: Any) -> None: ...
    @property
    def in_flight(self) -> dict[int, Any]:
        """By Packet Identifier: the QoS, ``RELEASED_TOKEN`` after PUBREC, or what the owner put."""
    @property
    def last_id(self) -> int:
        """The Packet Identifier that was given last, 0 if none was."""
    def room_left(self) -> int:
        """How many more packets may be unacknowledged."""
    def next_id(self) -> int:
        """A Packet Identifier that is not in use."""
    def resume_after(self, last_id: int) -> None:
        """Go on numbering behind this one."""

class Deliveries(RunObserver):
    """What a client subscribed to as an observer, or its part in one shared subscription.

    ``owner`` has ``subscriber``, ``session`` and ``match(address, own) -> Match | None``; ``only`` is
    the match of all addresses where there is but one. With ``at_most_once`` nothing else is taken.
    """

    def __init__(
        self,
        owner: Any,
        outgoing: Outgoing,
        only: Match | None = None,
        share: tuple[str, bytes] | None = None,
        at_most_once: bool = False,
    ) -> None: ...
    @property
    def owner(self) -> Any: ...
    @property
    def share(self) -> tuple[str, bytes] | None: ...
    @property
    def only(self) -> Match | None: ...
    def narrow(self, only: Match | None) -> None:
        """Say that all addresses have the same match, or that they have not."""
