from typing import Any

from hubbub.broker.dispatch import Outcome, Publisher
from hubbub.broker.outbox import Outbox
from hubbub.broker.publication import Stored
from hubbub.broker.run import Origin
from hubbub.broker.stream import StreamSession
from hubbub.broker.topics import Topic
from hubbub.model.errors import InvalidAddressError
from hubbub.model.message import Message
from hubbub.protocols.mqtt.acknowledgements import Acknowledgements
from hubbub.protocols.mqtt.codec import Will
from hubbub.protocols.mqtt.deliveries import Outgoing
from hubbub.protocols.mqtt.reasons import MqttError, Reason
from hubbub.protocols.mqtt.receipts import Receipts

class MqttPublisher(Publisher):
    """What the sessions of a listener publish with."""

    def __init__(self, broker: Any, mapping: Any, origin: Origin) -> None: ...
    @property
    def received_messages(self) -> int:
        """How many were published."""
    @property
    def received_bytes(self) -> int:
        """The bytes of their payloads."""
    def publish_will(
        self, source: Any, will: Will, principal: str
    ) -> tuple[Outcome, Message, bytes]:
        """Publish a Will Message; what became of it, and it as an object with its mark.

        Raises InvalidAddressError.
        """

class MqttReader(StreamSession):
    """Splits what arrives into control packets; publishes are carried out here, all else in a subclass.

    Consecutive publishes of a chunk are one burst. What the subclass is asked for raises MqttError
    where a rule of the specification is broken, and ``fail`` ends the connection then.
    """

    version: int
    principal: str
    packet_limit: int
    topic_alias_maximum: int
    own: Outgoing | None
    """Where what the client publishes may come back to it; set with ``version``."""
    received: set[int]
    """Packet Identifiers of QoS 2 that the client has not let go of: those of ``receipts``."""
    receipts: Receipts
    """Which of them are not safe yet; set with ``version``."""

    def __init__(self, publisher: MqttPublisher, outbox: Outbox) -> None: ...
    @property
    def publisher(self) -> MqttPublisher: ...
    @property
    def acknowledgements(self) -> Acknowledgements: ...
    @property
    def closed(self) -> bool: ...
    def mark_closed(self) -> None:
        """Look at nothing more that arrives."""
    def control(self, head: int, body: bytes) -> None:
        """A packet that is not dealt with here: the first byte, and what follows the length."""
    def puback(self, packet_id: int) -> None:
        """PUBACK without a reason."""
    def fail(self, error: MqttError) -> None:
        """End the connection."""
    def slow_consumer(self) -> None:
        """The client does not read what it is sent."""
    def size_reason(self) -> Reason:
        """Why a packet above the limit is refused."""
    def may_name(self, topic: bytes) -> bool:
        """Whether a client may publish to a topic that begins with ``$``."""
    def invalid_topic(self, error: InvalidAddressError) -> MqttError:
        """What is wrong with a Topic Name that is no address."""
    def refused(self, error: Exception) -> int:
        """The reason of an acknowledgement of what was not taken."""
    def lost(self, failure: Exception) -> None:
        """Told that the disk did not take what was published."""
    def retain(self, message: Message, mark: bytes) -> Stored | None:
        """Retain what was published so; what the acknowledgement waits for."""
    def keeps_received(self) -> bool:
        """Whether ``received`` outlives the connection."""
    def remember_received(
        self, landings: dict[int, tuple[Topic | None, int, bool]], following: dict[Topic, int]
    ) -> Stored:
        """Told what is to be published now; what the acknowledgement waits for.

        By Packet Identifier: the last topic that is to store it, the how manyth there it is from now
        on, and whether an observer may store it, too; and how many each topic is to store now. Raises MqttError.
        """
