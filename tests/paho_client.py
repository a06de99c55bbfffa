"""A paho-mqtt client whose callbacks are queues, so that a test can wait for what it is told."""

from __future__ import annotations

import queue
import socket
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv31, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from clients import WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving import ServerProcess

VERSIONS = {"3.1": MQTTv31, "3.1.1": MQTTv311, "5": MQTTv5}
NEVER = 0xFFFF_FFFF  # the Session Expiry Interval of a session that is kept for good


def properties(kind: int, **values: Any) -> Properties:
    """MQTT 5's properties of a packet; a list gives one property several times."""
    found = Properties(kind)
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            setattr(found, name, one)
    return found


class PahoClient:
    """One client; ``kept`` says whether its session outlives the connection.

    Where there is a will it is ``will=(topic, payload, qos, retain)``; other keywords are properties of
    MQTT 5, those that begin with ``will_`` of the will.
    """

    def __init__(
        self, server: ServerProcess, version: str = "5", client_id: str | None = None, *,
        kept: bool = False, will: tuple[str, bytes, int, bool] | None = None,
        manual_ack: bool = False, reconnects: bool = False, websocket: bool = False, **values: Any,
    ) -> None:  # fmt: skip
        self.version = version
        self.client_id = client_id or f"t{uuid.uuid4().hex[:20]}"  # MQTT 3.1 allows 23 characters
        self._server = server
        self._listener = "mqtt-ws" if websocket else "mqtt"
        self._kept = kept
        self._values = values | ({"SessionExpiryInterval": NEVER} if kept else {})
        self._messages: queue.Queue[MQTTMessage] = queue.Queue()
        self._told: dict[str, queue.Queue[Any]] = {
            name: queue.Queue()
            for name in ("connected", "subscribed", "unsubscribed", "disconnected")
        }
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            self.client_id,
            protocol=VERSIONS[version],
            clean_session=None if version == "5" else not kept,
            transport="websockets" if websocket else "tcp",
            reconnect_on_failure=reconnects,
            manual_ack=manual_ack,
        )
        if reconnects:
            self.client.reconnect_delay_set(1, 1)
        if will is not None:
            found = {
                name.removeprefix("will_"): self._values.pop(name)
                for name in list(self._values)
                if name.startswith("will_")
            }
            self.client.will_set(
                *will, properties(PacketTypes.WILLMESSAGE, **found) if version == "5" else None
            )
        self._listen()

    def _listen(self) -> None:
        told = self._told
        self.client.on_message = lambda _client, _data, message: self._messages.put(message)
        self.client.on_connect = lambda _client, _data, flags, reason, more: told["connected"].put(
            (flags, reason, more)
        )
        self.client.on_subscribe = lambda _client, _data, _mid, reasons, _: told["subscribed"].put(
            [reason.value for reason in reasons]
        )
        self.client.on_unsubscribe = lambda *_: told["unsubscribed"].put(None)
        self.client.on_disconnect = lambda _client, _data, _flags, reason, _: told[
            "disconnected"
        ].put(reason)

    def connect(self) -> Self:
        """Connect, and see that the server lets it in."""
        more = {}
        if self.version == "5":
            more["clean_start"] = not self._kept
            more["properties"] = properties(PacketTypes.CONNECT, **self._values)
        self.client.connect("127.0.0.1", self._server.ports[self._listener], **more)
        self.client.loop_start()
        flags, reason, self.granted = self.told("connected")
        assert reason == 0, reason
        self.session_present = flags.session_present
        return self

    def told(self, what: str) -> Any:
        """The next callback of the kind."""
        return self._told[what].get(timeout=WAIT_SECONDS)

    def subscribe(self, *filters: str, qos: int = 2, **options: Any) -> list[int]:
        """Subscribe; the codes of the answer. ``identifier``, and the options of MQTT 5."""
        identifier = options.pop("identifier", None)
        if self.version == "5":
            wanted = [(name, SubscribeOptions(qos, **options)) for name in filters]
        else:
            wanted = [(name, qos) for name in filters]
        more = identifier and properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=identifier)
        self.client.subscribe(wanted, properties=more)
        return self.told("subscribed")

    def unsubscribe(self, *filters: str) -> None:
        self.client.unsubscribe(list(filters))
        self.told("unsubscribed")

    def publish(
        self, topic: str, payload: bytes = b"", qos: int = 1, *, retain: bool = False, **values: Any
    ) -> None:
        """Publish, and wait until the server has acknowledged it (QoS 0: until it was sent)."""
        more = properties(PacketTypes.PUBLISH, **values) if self.version == "5" else None
        info = self.client.publish(topic, payload, qos, retain, more)
        info.wait_for_publish(WAIT_SECONDS)
        assert info.is_published()

    def take(self, count: int) -> list[MQTTMessage]:
        """The next ``count`` messages; fails loudly when they do not come."""
        return [self._messages.get(timeout=WAIT_SECONDS) for _ in range(count)]

    def payloads(self, count: int) -> list[bytes]:
        return [message.payload for message in self.take(count)]

    def rest(self) -> list[MQTTMessage]:
        """What came beyond what was taken, of all that was published before this call."""
        fence = f"fence/{uuid.uuid4().hex}"
        self.subscribe(fence, qos=1)
        self.publish(fence, b"", 1)
        found = []
        while (message := self.take(1)[0]).topic != fence:
            found.append(message)
        self.unsubscribe(fence)
        return found

    def drop(self) -> None:
        """Lose the connection: the server hears no DISCONNECT."""
        self.client.socket().shutdown(socket.SHUT_RDWR)
        self.told("disconnected")
        self.client.loop_stop()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(self, *exc: object) -> None:
        self.close()


@contextmanager
def connected(server: ServerProcess, count: int, version: str = "5") -> Iterator[list[PahoClient]]:
    """So many clients."""
    clients = [PahoClient(server, version).connect() for _ in range(count)]
    yield clients
    for client in clients:
        client.close()
