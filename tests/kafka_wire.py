"""A Kafka client without a socket: real frames into a session, real frames out of it."""

from __future__ import annotations

import io
import struct
from datetime import timedelta
from typing import Any

from kio.serial import entity_reader, entity_writer

from hubbub.broker.broker import Broker
from hubbub.broker.config import BrokerConfig
from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer
from hubbub.broker.timers import Timers
from hubbub.log.batch import encode
from hubbub.log.memory import MemoryLog
from hubbub.model.address import parse_address
from hubbub.protocols.kafka.listener import KafkaListener
from hubbub.protocols.kafka.schema import request_type, response_type
from hubbub.protocols.kafka.versions import VERSIONS
from kafka_admin import _build

PEER = Peer(("192.0.2.7", 50123), ("127.0.0.1", 9092))
NOW_MS = 1_700_000_000_000
SIZE = struct.Struct(">i")


class Wire:
    """One connection to a broker, its own unless it is given one."""

    def __init__(
        self,
        broker: Broker | None = None,
        *,
        log: MemoryLog | None = None,
        settings: dict[str, Any] | None = None,
        access: Any = None,
        **config: Any,
    ) -> None:
        if broker is None:
            timers = Timers(0.0, NOW_MS)
            broker = Broker(log or MemoryLog(), timers, BrokerConfig(**config), access)
        self.broker = broker
        self.timers = broker.timers
        self.outbox = Outbox()
        self.session = KafkaListener(broker, settings).session(PEER, self.outbox)
        self._asked: dict[int, tuple[int, int]] = {}
        self._received = b""

    @property
    def closed(self) -> bool:
        return self.outbox.closing

    def topic(self, name: str, partitions: int = 1, settings: Any = None) -> Any:
        return self.broker.create_topic(parse_address(name), partitions, settings)

    def advance(self, seconds: float) -> None:
        milliseconds = self.timers.wall_ms + int(seconds * 1000)
        self.timers.advance(self.timers.now + seconds, milliseconds)

    def send(self, api_key: int, version: int, /, **fields: Any) -> int:
        """Send a request; its correlation id."""
        correlation_id = len(self._asked) + 1
        self._asked[correlation_id] = api_key, version
        self.session.receive(frame(api_key, version, correlation_id, **fields))
        return correlation_id

    def responses(self) -> list[tuple[int, Any]]:
        """What came since the last call: (correlation id, response as kio reads it)."""
        self._received += b"".join(self.outbox.take())
        found = []
        while self._received:
            (size,) = SIZE.unpack_from(self._received)
            raw, self._received = self._received[4 : 4 + size], self._received[4 + size :]
            assert len(raw) == size
            found.append(self._parse(raw))
        return found

    def ask(self, api_key: int, version: int, /, **fields: Any) -> Any:
        """The response, which must come at once."""
        correlation_id = self.send(api_key, version, **fields)
        ((answered, response),) = self.responses()
        assert answered == correlation_id
        return response

    def _parse(self, raw: bytes) -> tuple[int, Any]:
        (correlation_id,) = SIZE.unpack_from(raw)
        entity = response_type(*self._asked[correlation_id])
        start = 5 if entity.__header_schema__.__flexible__ else 4
        response, size = entity_reader(entity)(raw[start:], 0)
        assert start + size == len(raw)
        return correlation_id, response


def frame(api_key: int, version: int, correlation_id: int = 1, /, **fields: Any) -> bytes:
    """A request as a client sends it; nested entities as ``kafka_admin.part`` makes them."""
    entity = request_type(api_key, version)
    body = io.BytesIO()
    entity_writer(entity)(body, _build(entity, fields))
    head = struct.pack(">hhih4s", api_key, version, correlation_id, 4, b"test")
    if version >= VERSIONS[api_key].flexible:
        head += b"\0"
    return SIZE.pack(len(head) + body.tell()) + head + body.getvalue()


def versions(api_key: int) -> range:
    """All versions of the API that are served."""
    return range(VERSIONS[api_key].oldest, VERSIONS[api_key].newest + 1)


def batch(*values: bytes, timestamp_ms: int = NOW_MS, **fields: Any) -> bytes:
    """A record batch as a producer makes it."""
    return encode([(timestamp_ms, None, value, ()) for value in values], **fields)


def milliseconds(count: int) -> timedelta:
    return timedelta(milliseconds=count)
