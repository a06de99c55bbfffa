"""Three clients of AMQP 0-9-1 behind the same few calls, so that one suite sees the broker through each.

``AMQP_PEER=127.0.0.1:5672`` runs what is written on them against the broker there, RabbitMQ's own for one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import aiormq
import amqp
import pika
import pytest
from aiormq.channel import EXCEPTION_MAPPING
from pamqp import commands

from clients import WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

PEER = os.environ.get("AMQP_PEER", "")
PROPERTIES = (
    "content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id",
    "reply_to", "expiration", "message_id", "timestamp", "type", "user_id", "app_id",
)  # fmt: skip

here_only = pytest.mark.skipif(bool(PEER), reason="a broker elsewhere cannot do or be told that")


class ClosedError(Exception):
    """The server closed the channel or the connection; its reply-code (None: not told) and text."""

    def __init__(self, code: int | None, text: str) -> None:
        super().__init__(code, text)
        self.code, self.text = code, text


class ReturnedError(Exception):
    """A mandatory message came back: basic.return's code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code, self.text = code, text


class NackedError(Exception):
    """The publish was refused: basic.nack."""


@dataclass
class Got:
    """One message as a client got it; ``left`` is basic.get-ok's message-count."""

    body: bytes
    exchange: str
    key: str
    redelivered: bool
    tag: int
    properties: dict[str, Any]
    consumer: str | None = None
    left: int | None = None

    @property
    def headers(self) -> dict[str, Any]:
        return self.properties.get("headers") or {}


def plain(value: Any) -> Any:
    """Table values as text where a client has bytes."""
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode()
    if isinstance(value, dict):
        return {plain(name): plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


class AmqpClient:
    """A connection with a channel; what the clients of a test have in common.

    ``confirms`` makes ``publish`` wait for the confirm.
    """

    name: str

    def __init__(self, url: str, *, confirms: bool = True) -> None:
        self.url = url
        self.confirms = confirms
        self._inbox: deque[Got] = deque()
        self.cancelled: list[str] = []  # tags of consumers that the server cancelled
        self._connect()
        self.open_channel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def take(self, count: int) -> list[Got]:
        """The next ``count`` messages of all consumers; fails loudly when they do not come."""
        deadline = time.monotonic() + WAIT_SECONDS
        while len(self._inbox) < count:
            assert time.monotonic() < deadline, f"{len(self._inbox)} of {count} came"
            self._turn()
        return [self._inbox.popleft() for _ in range(count)]

    def bodies(self, count: int) -> list[bytes]:
        return [got.body for got in self.take(count)]

    def rest(self, queue: str) -> list[Got]:
        """What the queue has sent beyond what was taken: its answer comes behind that."""
        self.count(queue)
        found, self._inbox = list(self._inbox), deque()
        return found

    def until_cancelled(self) -> list[str]:
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.cancelled:
            assert time.monotonic() < deadline, "not cancelled"
            self._turn()
        return self.cancelled

    def get_all(self, queue: str) -> list[Got]:
        """Empty a queue by basic.get, acknowledging."""
        found = []
        while (got := self.get(queue)) is not None:
            self.ack(got)
            found.append(got)
        return found

    def await_count(self, queue: str, count: int) -> None:
        """Until so many messages are ready: what a lost connection had comes back some time later."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self.count(queue) != count:
            assert time.monotonic() < deadline, f"{self.count(queue)} ready, not {count}"

    def await_get(self, queue: str) -> Got:
        """The next message of a queue, acknowledged, as soon as there is one."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (got := self.get(queue)) is None:
            assert time.monotonic() < deadline, "nothing came"
        self.ack(got)
        return got

    def count(self, queue: str) -> int:
        """How many messages are ready."""
        return self.declare_queue(queue, passive=True)[1]

    def consumers(self, queue: str) -> int:
        return self.declare_queue(queue, passive=True)[2]


class Pika(AmqpClient):
    """pika with its blocking connection."""

    name = "pika"

    def _connect(self) -> None:
        with self._told():
            self.connection = pika.BlockingConnection(pika.URLParameters(self.url))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (
            pika.exceptions.ConnectionClosedByBroker,
            pika.exceptions.ChannelClosedByBroker,
        ) as error:
            raise ClosedError(error.reply_code, error.reply_text) from error
        except pika.exceptions.UnroutableError as error:
            [back] = error.messages
            raise ReturnedError(back.method.reply_code, back.method.reply_text) from error
        except pika.exceptions.NackError as error:
            raise NackedError from error

    def open_channel(self) -> None:
        """A new channel in place of the one there was."""
        self.channel = self.connection.channel()
        self.channel.add_on_cancel_callback(
            lambda frame: self.cancelled.append(frame.method.consumer_tag)
        )
        if self.confirms:
            self.channel.confirm_delivery()

    def close(self) -> None:
        with contextlib.suppress(pika.exceptions.AMQPError):  # the server may have been stopped
            self.connection.close()

    def drop(self) -> None:
        """Lose the connection without a word."""
        self.connection._impl._transport._sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(pika.exceptions.AMQPError):
            self.connection.process_data_events(WAIT_SECONDS)

    def _turn(self) -> None:
        with self._told():
            self.connection.process_data_events(0.2)

    def declare_queue(
        self, name: str = "", *, passive: bool = False, durable: bool = False,
        exclusive: bool = False, auto_delete: bool = False, **arguments: Any,
    ) -> tuple[str, int, int]:  # fmt: skip
        """The name, how many messages are ready, how many consumers there are."""
        with self._told():
            found = self.channel.queue_declare(
                name, passive, durable, exclusive, auto_delete, dashed(arguments)
            ).method
        return found.queue, found.message_count, found.consumer_count

    def delete_queue(self, name: str, *, if_unused: bool = False, if_empty: bool = False) -> int:
        with self._told():
            return self.channel.queue_delete(name, if_unused, if_empty).method.message_count

    def purge(self, name: str) -> int:
        with self._told():
            return self.channel.queue_purge(name).method.message_count

    def declare_exchange(
        self, name: str, kind: str = "direct", *, passive: bool = False, durable: bool = False,
        auto_delete: bool = False, internal: bool = False, **arguments: Any,
    ) -> None:  # fmt: skip
        with self._told():
            self.channel.exchange_declare(
                name, kind, passive, durable, auto_delete, internal, dashed(arguments)
            )

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        with self._told():
            self.channel.exchange_delete(name, if_unused)

    def bind(self, queue: str, exchange: str, key: str = "", **arguments: Any) -> None:
        with self._told():
            self.channel.queue_bind(queue, exchange, key, dashed(arguments))

    def unbind(self, queue: str, exchange: str, key: str = "", **arguments: Any) -> None:
        with self._told():
            self.channel.queue_unbind(queue, exchange, key, dashed(arguments))

    def bind_exchange(self, destination: str, source: str, key: str = "", **args: Any) -> None:
        with self._told():
            self.channel.exchange_bind(destination, source, key, dashed(args))

    def unbind_exchange(self, destination: str, source: str, key: str = "", **args: Any) -> None:
        with self._told():
            self.channel.exchange_unbind(destination, source, key, dashed(args))

    def publish(
        self, exchange: str, key: str, body: bytes = b"", *, mandatory: bool = False, **props: Any
    ) -> None:
        with self._told():
            self.channel.basic_publish(
                exchange, key, body, pika.BasicProperties(**props), mandatory
            )

    def get(self, queue: str, *, no_ack: bool = False) -> Got | None:
        with self._told():
            method, properties, body = self.channel.basic_get(queue, no_ack)
        if method is None:
            return None
        return self._got(method, properties, body, left=method.message_count)

    def consume(
        self, queue: str, *, prefetch: int | None = None, no_ack: bool = False, tag: str = "",
        exclusive: bool = False, **arguments: Any,
    ) -> str:  # fmt: skip
        with self._told():
            if prefetch is not None:
                self.channel.basic_qos(prefetch_count=prefetch)
            return self.channel.basic_consume(
                queue,
                lambda _, method, properties, body: self._inbox.append(
                    self._got(method, properties, body, consumer=method.consumer_tag)
                ),
                no_ack, exclusive, tag or None, dashed(arguments),
            )  # fmt: skip

    def _got(self, method: Any, properties: Any, body: bytes, **more: Any) -> Got:
        found = {name: getattr(properties, name) for name in PROPERTIES}
        return Got(
            body, method.exchange, method.routing_key, method.redelivered, method.delivery_tag,
            {name: plain(value) for name, value in found.items() if value is not None}, **more,
        )  # fmt: skip

    def cancel(self, tag: str) -> None:
        with self._told():
            self.channel.basic_cancel(tag)

    def ack(self, got: Got, *, multiple: bool = False) -> None:
        self.channel.basic_ack(got.tag, multiple)

    def reject(self, got: Got, *, requeue: bool = False) -> None:
        self.channel.basic_reject(got.tag, requeue)

    def recover(self) -> None:
        with self._told():
            self.channel.basic_recover(requeue=True)

    def tx(self, step: str) -> None:
        """``select``, ``commit`` or ``rollback``."""
        with self._told():
            getattr(self.channel, f"tx_{step}")()

    def await_close(self) -> None:
        """Turn until the server closes the channel or the connection, and raise what it says."""
        with self._told():
            while self.channel.is_open:
                self.connection.process_data_events(0.2)
            raise self.channel._closing_reason


class Aiormq(AmqpClient):
    """aiormq, which aio-pika is built on."""

    name = "aiormq"

    def _connect(self) -> None:
        self._loop = asyncio.new_event_loop()
        try:
            self.connection = self._run(aiormq.connect(self.url))
        except BaseException:
            self._loop.close()
            raise

    def _run(self, asked: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self._loop.run_until_complete(asyncio.wait_for(asked, WAIT_SECONDS))
        except aiormq.exceptions.PublishError as error:
            raise ReturnedError(error.frame.reply_code, error.frame.reply_text) from error
        except aiormq.exceptions.DeliveryError as error:
            raise NackedError from error
        except aiormq.exceptions.ChannelClosed as error:
            codes = {kind: code for code, kind in EXCEPTION_MAPPING.items()}
            raise ClosedError(codes.get(type(error)), error.args[-1]) from error
        except aiormq.exceptions.ConnectionClosed as error:
            raise ClosedError(error.args[0] if error.args[1:] else None, error.args[-1]) from error

    def open_channel(self) -> None:
        self.channel = self._run(self.connection.channel(publisher_confirms=self.confirms))

    def close(self) -> None:
        if self._loop.is_closed():
            return
        with contextlib.suppress(aiormq.exceptions.AMQPError, ClosedError):
            self._run(self.connection.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def drop(self) -> None:
        pytest.skip("aiormq keeps its socket where nobody gets at it")

    def _turn(self) -> None:
        self._run(asyncio.sleep(0.01))

    def declare_queue(
        self, name: str = "", *, passive: bool = False, durable: bool = False,
        exclusive: bool = False, auto_delete: bool = False, **arguments: Any,
    ) -> tuple[str, int, int]:  # fmt: skip
        found = self._run(
            self.channel.queue_declare(
                name, passive=passive, durable=durable, exclusive=exclusive,
                auto_delete=auto_delete, arguments=dashed(arguments),
            )
        )  # fmt: skip
        return found.queue, found.message_count, found.consumer_count

    def delete_queue(self, name: str, *, if_unused: bool = False, if_empty: bool = False) -> int:
        asked = self.channel.queue_delete(name, if_unused=if_unused, if_empty=if_empty)
        return self._run(asked).message_count

    def purge(self, name: str) -> int:
        return self._run(self.channel.queue_purge(name)).message_count

    def declare_exchange(self, name: str, kind: str = "direct", **options: Any) -> None:
        arguments, flags = parted(options)
        self._run(
            self.channel.exchange_declare(name, exchange_type=kind, arguments=arguments, **flags)
        )

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        self._run(self.channel.exchange_delete(name, if_unused=if_unused))

    def bind(self, queue: str, exchange: str, key: str = "", **arguments: Any) -> None:
        self._run(self.channel.queue_bind(queue, exchange, key, arguments=dashed(arguments)))

    def unbind(self, queue: str, exchange: str, key: str = "", **arguments: Any) -> None:
        self._run(self.channel.queue_unbind(queue, exchange, key, arguments=dashed(arguments)))

    def bind_exchange(self, destination: str, source: str, key: str = "", **args: Any) -> None:
        self._run(self.channel.exchange_bind(destination, source, key, arguments=dashed(args)))

    def unbind_exchange(self, destination: str, source: str, key: str = "", **args: Any) -> None:
        self._run(self.channel.exchange_unbind(destination, source, key, arguments=dashed(args)))

    def publish(
        self, exchange: str, key: str, body: bytes = b"", *, mandatory: bool = False, **props: Any
    ) -> None:
        if "type" in props:
            props["message_type"] = props.pop("type")
        self._run(
            self.channel.basic_publish(
                body, exchange=exchange, routing_key=key, mandatory=mandatory,
                properties=commands.Basic.Properties(**props),
            )
        )  # fmt: skip

    def get(self, queue: str, *, no_ack: bool = False) -> Got | None:
        found = self._run(self.channel.basic_get(queue, no_ack=no_ack))
        if isinstance(found.delivery, commands.Basic.GetEmpty):
            return None
        return self._got(found, left=found.delivery.message_count)

    def consume(
        self, queue: str, *, prefetch: int | None = None, no_ack: bool = False, tag: str = "",
        exclusive: bool = False, **arguments: Any,
    ) -> str:  # fmt: skip
        async def take(message: Any) -> None:
            self._inbox.append(self._got(message, consumer=message.delivery.consumer_tag))

        if prefetch is not None:
            self._run(self.channel.basic_qos(prefetch_count=prefetch))
        asked = self.channel.basic_consume(
            queue, take, no_ack=no_ack, exclusive=exclusive, consumer_tag=tag or None,
            arguments=dashed(arguments),
        )  # fmt: skip
        return self._run(asked).consumer_tag

    def _got(self, message: Any, **more: Any) -> Got:
        delivery, properties = message.delivery, dict(message.header.properties)
        properties["type"] = properties.pop("message_type")
        return Got(
            bytes(message.body), delivery.exchange, delivery.routing_key, delivery.redelivered,
            delivery.delivery_tag,
            {name: plain(v) for name, v in properties.items() if name in PROPERTIES and v is not None},
            **more,
        )  # fmt: skip

    def cancel(self, tag: str) -> None:
        self._run(self.channel.basic_cancel(tag))

    def ack(self, got: Got, *, multiple: bool = False) -> None:
        self._run(self.channel.basic_ack(got.tag, multiple))

    def reject(self, got: Got, *, requeue: bool = False) -> None:
        self._run(self.channel.basic_reject(got.tag, requeue=requeue))

    def recover(self) -> None:
        self._run(self.channel.basic_recover(requeue=True))

    def tx(self, step: str) -> None:
        self._run(getattr(self.channel, f"tx_{step}")())

    def await_close(self) -> None:
        async def closed() -> None:
            await self.channel.closing

        self._run(closed())


class PyAmqp(AmqpClient):
    """py-amqp, which kombu and Celery are built on."""

    name = "py-amqp"

    def _connect(self) -> None:
        parts = pika.URLParameters(self.url)
        self.connection = amqp.Connection(
            f"{parts.host}:{parts.port}", parts.credentials.username, parts.credentials.password,
            virtual_host=parts.virtual_host, confirm_publish=self.confirms, login_method="AMQPLAIN",
            read_timeout=WAIT_SECONDS, client_properties={},
        )  # fmt: skip
        with self._told():
            self.connection.connect()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except amqp.exceptions.MessageNacked as error:
            raise NackedError from error
        except amqp.AMQPError as error:
            raise ClosedError(error.reply_code, error.reply_text) from error

    def open_channel(self) -> None:
        self.channel = self.connection.channel()
        self._returned: list[ReturnedError] = []
        self.channel.events["basic_return"].add(
            lambda error, *_: self._returned.append(
                ReturnedError(error.reply_code, error.reply_text)
            )
        )

    def close(self) -> None:
        with contextlib.suppress(amqp.AMQPError, OSError):
            self.connection.close()

    def drop(self) -> None:
        self.connection.transport.sock.shutdown(socket.SHUT_RDWR)
        self.connection.collect()

    def _turn(self) -> None:
        with self._told(), contextlib.suppress(TimeoutError):
            self.connection.drain_events(timeout=0.2)

    def declare_queue(
        self, name: str = "", *, passive: bool = False, durable: bool = False,
        exclusive: bool = False, auto_delete: bool = False, **arguments: Any,
    ) -> tuple[str, int, int]:  # fmt: skip
        with self._told():
            found = self.channel.queue_declare(
                name, passive, durable, exclusive, auto_delete, arguments=dashed(arguments)
            )
        return found.queue, found.message_count, found.consumer_count

    def delete_queue(self, name: str, *, if_unused: bool = False, if_empty: bool = False) -> int:
        with self._told():
            return self.channel.queue_delete(name, if_unused, if_empty)

    def purge(self, name: str) -> int:
        with self._told():
            return self.channel.queue_purge(name)

    def declare_exchange(self, name: str, kind: str = "direct", **options: Any) -> None:
        arguments, flags = parted(options)
        flags = {"auto_delete": False} | flags
        if flags.pop("internal", False):
            pytest.skip("py-amqp cannot declare an internal exchange")
        with self._told():
            self.channel.exchange_declare(name, kind, arguments=arguments, **flags)

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        with self._told():
            self.channel.exchange_delete(name, if_unused)

    def bind(self, queue: str, exchange: str, key: str = "", **arguments: Any) -> None:
        with self._told():
            self.channel.queue_bind(queue, exchange, key, arguments=dashed(arguments))

    def unbind(self, queue: str, exchange: str, key: str = "", **arguments: Any) -> None:
        with self._told():
            self.channel.queue_unbind(queue, exchange, key, arguments=dashed(arguments))

    def bind_exchange(self, destination: str, source: str, key: str = "", **args: Any) -> None:
        with self._told():
            self.channel.exchange_bind(destination, source, key, arguments=dashed(args))

    def unbind_exchange(self, destination: str, source: str, key: str = "", **args: Any) -> None:
        with self._told():
            self.channel.exchange_unbind(destination, source, key, arguments=dashed(args))

    def publish(
        self, exchange: str, key: str, body: bytes = b"", *, mandatory: bool = False, **props: Any
    ) -> None:
        if "headers" in props:
            props["application_headers"] = props.pop("headers")
        with self._told():
            message = amqp.Message(body, **props)
            self.channel.basic_publish(message, exchange, key, mandatory=mandatory)
        if self._returned:
            raise self._returned.pop()

    def get(self, queue: str, *, no_ack: bool = False) -> Got | None:
        with self._told():
            found = self.channel.basic_get(queue, no_ack)
        return found and self._got(found, left=found.delivery_info["message_count"])

    def consume(
        self, queue: str, *, prefetch: int | None = None, no_ack: bool = False, tag: str = "",
        exclusive: bool = False, **arguments: Any,
    ) -> str:  # fmt: skip
        def take(message: Any) -> None:
            self._inbox.append(self._got(message, consumer=message.delivery_info["consumer_tag"]))

        with self._told():
            if prefetch is not None:
                self.channel.basic_qos(0, prefetch, a_global=False)
            return self.channel.basic_consume(
                queue, tag, no_ack=no_ack, exclusive=exclusive, callback=take,
                on_cancel=self.cancelled.append, arguments=dashed(arguments),
            )  # fmt: skip

    def _got(self, message: Any, **more: Any) -> Got:
        delivery, properties = message.delivery_info, dict(message.properties)
        if "application_headers" in properties:
            properties["headers"] = properties.pop("application_headers")
        body = message.body if isinstance(message.body, bytes) else message.body.encode()
        return Got(
            body, delivery["exchange"], delivery["routing_key"], delivery["redelivered"],
            delivery["delivery_tag"],
            {name: plain(properties[name]) for name in PROPERTIES if name in properties},
            **more,
        )  # fmt: skip

    def cancel(self, tag: str) -> None:
        with self._told():
            self.channel.basic_cancel(tag)

    def ack(self, got: Got, *, multiple: bool = False) -> None:
        self.channel.basic_ack(got.tag, multiple)

    def reject(self, got: Got, *, requeue: bool = False) -> None:
        self.channel.basic_reject(got.tag, requeue)

    def recover(self) -> None:
        with self._told():
            self.channel.basic_recover(requeue=True)

    def tx(self, step: str) -> None:
        with self._told():
            getattr(self.channel, f"tx_{step}")()

    def await_close(self) -> None:
        with self._told():
            while True:
                self.connection.drain_events(timeout=WAIT_SECONDS)


AMQP_CLIENTS = (Pika, Aiormq, PyAmqp)
FLAGS = ("passive", "durable", "auto_delete", "internal")


def dashed(arguments: dict[str, Any]) -> dict[str, Any]:
    """``x_message_ttl=5`` as the argument x-message-ttl; other names are kept."""
    return {
        name.replace("_", "-") if name.startswith(("x_", "alternate_")) else name: value
        for name, value in arguments.items()
    }


def parted(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments and flags of exchange.declare."""
    flags = {name: value for name, value in options.items() if name in FLAGS}
    return dashed({n: v for n, v in options.items() if n not in FLAGS}), flags
