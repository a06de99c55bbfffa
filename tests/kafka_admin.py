"""Kafka's admin requests against a broker in memory: no socket, but real bytes both ways."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kio.serial import entity_reader as kio_reader
from kio.serial import entity_writer

from hubbub.broker.broker import Broker
from hubbub.broker.config import BrokerConfig
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.model.address import parse_address
from hubbub.protocols.kafka import cluster, configs, topics
from hubbub.protocols.kafka.context import Connection, Node, RequestContext
from hubbub.protocols.kafka.reader import entity_reader
from hubbub.protocols.kafka.schema import make, module_of, request_type, response_type
from hubbub.protocols.kafka.versions import VERSIONS

if TYPE_CHECKING:
    from hubbub.broker.topics import Topic

HANDLERS = {**topics.HANDLERS, **configs.HANDLERS, **cluster.HANDLERS}
NODE = Node(1, "127.0.0.1", 9092)
TIMEOUT = timedelta(seconds=30)


def versions(api_key: int) -> range:
    """All versions of the API that are served."""
    return range(VERSIONS[api_key].oldest, VERSIONS[api_key].newest + 1)


class Admin:
    """A client with a broker of its own."""

    def __init__(self, **config: object) -> None:
        self.log = MemoryLog()
        self.timers = Timers(0.0, 1_700_000_000_000)
        self.broker = Broker(self.log, self.timers, BrokerConfig(**config))
        self._connection = Connection(
            self.broker, {}, NODE, "127.0.0.1", HANDLERS.keys(), lambda: None
        )

    def topic(self, name: str) -> Topic | None:
        return self.broker.topics.get(parse_address(name))

    def new_topic(self, name: str, partitions: int = 1, settings: Any = None) -> Topic:
        return self.broker.create_topic(parse_address(name), partitions, settings)

    def send(self, api_key: int, version: int, fields: dict[str, Any]) -> list[Any]:
        """Ask, and get the list in which the response will be, once it is given."""
        answers: list[Any] = []

        def reply(response: Any) -> None:
            buffer = io.BytesIO()
            entity_writer(type(response))(buffer, response)
            raw = buffer.getvalue()
            read, size = kio_reader(response_type(api_key, version))(raw, 0)
            assert size == len(raw)
            answers.append(read)

        request = request_of(api_key, version, fields)
        context = RequestContext(self._connection, api_key, version, "test")
        HANDLERS[api_key](context, request, reply)
        return answers

    def ask(self, api_key: int, version: int, **fields: Any) -> Any:
        """The response, which must come without waiting for anything but the disk."""
        answers = self.send(api_key, version, fields)
        self.sync()
        assert len(answers) == 1
        return answers[0]

    def sync(self) -> None:
        """What the server's committer does at the end of a turn."""
        while (sync := self.log.begin_sync()) is not None:
            sync.run()
            sync.finish()


def request_of(api_key: int, version: int, fields: dict[str, Any]) -> Any:
    """The request as the broker reads it from the bytes that a client would send."""
    entity = request_type(api_key, version)
    buffer = io.BytesIO()
    entity_writer(entity)(buffer, _build(entity, fields))
    raw = buffer.getvalue()
    request, end = entity_reader(entity)(raw, 0)
    assert end == len(raw)
    return request


def part(name: str, /, **fields: Any) -> tuple[str, dict[str, Any]]:
    """An entity inside a request, in whatever version the request will have."""
    return name, fields


def _build(entity: type, fields: dict[str, Any]) -> Any:
    module = module_of(entity)

    def built(value: Any) -> Any:
        match value:
            case (str() as name, dict() as inner):
                return make(module, name, **{key: built(each) for key, each in inner.items()})
            case list():
                return tuple(built(each) for each in value)
        return value

    return make(module, entity.__name__, **{key: built(value) for key, value in fields.items()})
