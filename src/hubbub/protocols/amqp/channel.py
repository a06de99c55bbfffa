"""One channel: its methods find their way to queues and exchanges, and its errors end it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hubbub.model.errors import InvalidAddressError
from hubbub.model.faults import contain
from hubbub.protocols.amqp import (
    codec,
    consuming,
    declaring,
    direct_reply,
    settling,
    transactions,
)
from hubbub.protocols.amqp.addresses import ExchangeNames, pattern_named
from hubbub.protocols.amqp.carbon_copies import (
    check_copies,
    may_have_copies,
    routing_keys,
    without_bcc,
)
from hubbub.protocols.amqp.confirms import Confirms
from hubbub.protocols.amqp.contents import ContentReader
from hubbub.protocols.amqp.deliveries import ChannelLimits, encode_content, routing_size
from hubbub.protocols.amqp.errors import (
    NO_ROUTE,
    access_refused,
    channel_error,
    command_invalid,
    not_found,
    not_implemented,
    precondition_failed,
)
from hubbub.protocols.amqp.properties import decode_headers
from hubbub.protocols.amqp.refusals import queue_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hubbub.broker.access import Action
    from hubbub.broker.publication import Durable
    from hubbub.broker.routes import NameCache, Route
    from hubbub.broker.work_item import Item
    from hubbub.model.address import Address
    from hubbub.model.pattern import Pattern
    from hubbub.protocols.amqp.codec import Method
    from hubbub.protocols.amqp.connection import AmqpConnection
    from hubbub.protocols.amqp.consuming import Consumer
    from hubbub.protocols.amqp.exchanges import Exchange
    from hubbub.protocols.amqp.queue import AmqpQueue
    from hubbub.protocols.amqp.transactions import Transaction
    from hubbub.protocols.amqp.vhost import VirtualHost


class Channel(ContentReader):
    """``last_queue`` is what an empty queue name stands for (AMQP 0-9-1 section 1.7.2.3)."""

    def __init__(self, connection: AmqpConnection, number: int, vhost: VirtualHost) -> None:
        listener = connection.listener
        super().__init__(number, listener.publisher, listener.settings.max_message_size)
        self.connection = connection
        self.vhost = vhost
        self.limits = ChannelLimits(
            number, connection.outbox, connection.frame_max, connection.refill_soon
        )
        self.consumers: dict[str, Consumer] = {}
        self.last_queue = ""
        self.prefetch = 0  # of the consumers that are to come
        self.reply_queue: AmqpQueue | None = None  # of direct reply-to
        self.transaction: Transaction | None = None
        self._confirms: Confirms | None = None

    def handle(self, method: Method) -> None:
        """Carry out a method. Raises ChannelError, ConnectionFailure."""
        handler = _HANDLERS.get(method.name)
        if handler is None:
            raise command_invalid("unimplemented method")
        handler(self, method.args)

    def answer(self, name: str, *, nowait: bool = False, **fields: Any) -> None:
        """Write a method, unless nobody waits for it."""
        if not nowait:
            self.connection.write(codec.encode(self.number, name, **fields))

    def answer_when_durable(
        self, *durable: Durable, name: str, nowait: bool = False, **fields: Any
    ) -> None:
        """Write a method once what it says survives power loss; nothing overtakes it."""
        if not nowait:
            self.connection.answer_when_durable(durable, codec.encode(self.number, name, **fields))

    def close(self) -> None:
        """Let go of what the channel holds; nothing but its answer is looked at any more."""
        if self.is_closing:
            return
        self.is_closing = True
        for consumer in tuple(self.consumers.values()):
            # An auto-delete queue may be one that the disk does not let go of.
            contain(consuming.end, self, consumer)
        direct_reply.close(self)
        if self.transaction is not None:
            self.transaction.rollback()
        for entry in self.limits.unacknowledged.take_all():
            settling.give_back(entry)
        self.drop_content()

    def limits_changed(self) -> None:
        """Something was acknowledged: where the channel has a limit, all its consumers may go on."""
        if self.limits.prefetch:
            self.connection.relieve(self)

    def wake(self) -> None:
        """Let the queues look at the channel's consumers again."""
        for consumer in self.consumers.values():
            consumer.wake()

    def queue_named(self, name: str) -> AmqpQueue:
        """The queue; an empty name is the one declared last. Raises ChannelError."""
        return self.vhost.queue(self.full_name(name), self.connection)

    def full_name(self, name: str) -> str:
        """A queue's name as a method has it; empty is the one declared last. Raises ChannelError."""
        if not name and not self.last_queue:
            raise not_found("no previously declared queue")
        return name or self.last_queue

    # --- what the reader of contents calls --------------------------------------------------------

    def refuse_immediate(self) -> None:
        """As RabbitMQ since 3.0."""
        raise not_implemented("immediate=true")

    def find_exchange(self, name: bytes) -> tuple[Exchange, NameCache | None]:
        """The exchange, and where what it gets is published for others. Raises ChannelError."""
        exchange = self.vhost.exchange(name.decode("utf-8", "surrogateescape"))
        if exchange.internal:
            raise access_refused(
                f"cannot publish to internal exchange '{exchange.name}' in vhost "
                f"'{self.vhost.name}'"
            )
        return exchange, self.connection.listener.names_of(self.vhost, exchange)

    @property
    def has_limited_access(self) -> bool:
        """Whether there is anything that its user may not do: other virtual hosts are everybody's."""
        listener = self.connection.listener
        is_common = self.vhost.name == listener.COMMON_VHOST
        return is_common and not listener.broker.dispatcher.is_open

    def may(self, action: Action, target: Address | Pattern | None) -> bool:
        """Whether the user may; names that only AMQP has are everybody's."""
        if target is None or not self.has_limited_access:
            return True
        return self.connection.listener.broker.may(self.connection.principal, action, target)

    def check_may_read_queue(self, queue: AmqpQueue) -> None:
        """Ask before anything is taken out of a queue. Raises ChannelError (403)."""
        self.check_may_read(pattern_named(queue.name), queue_in(self.vhost.name, queue.name))

    def check_may_read(self, pattern: Pattern | None, named: str) -> None:
        """Ask before somebody reads what the pattern selects. Raises ChannelError (403)."""
        if not self.may("subscribe", pattern):
            raise access_refused(
                f"read access to {named} refused for user '{self.connection.user}'"
            )

    def authorise(self, exchange: Exchange, key: bytes, properties: bytes) -> None:
        """Ask before a message is put anywhere, for each routing key. Raises ChannelError (403)."""
        keys: tuple[bytes, ...] = (key,)
        if may_have_copies(properties):
            keys = routing_keys(key, decode_headers(properties) or {})
        names = ExchangeNames(exchange)
        for each in keys:
            with suppress(InvalidAddressError):  # a name that only AMQP has
                self._check_may_write(exchange, names.address_of(each))

    def _check_may_write(self, exchange: Exchange, address: Address) -> None:
        if not self.may("publish", address):
            raise access_refused(
                f"write access to exchange '{exchange.name}' in vhost '{self.vhost.name}' refused "
                f"for user '{self.connection.user}'"
            )

    def route(self, exchange: Exchange, key: bytes, properties: bytes) -> tuple[AmqpQueue, ...]:
        """The queues that a message goes to. Raises ChannelError (406)."""
        check_copies(properties)
        if key.startswith(direct_reply.PREFIX) and not exchange.name:
            return direct_reply.route(self.connection.listener, key)
        return self.vhost.route(exchange, key, properties)

    def special(self, properties: bytes, user_id: bytes | None) -> bytes:
        """Look at what few messages say. Raises ChannelError."""
        user = self.connection.user
        if user_id is not None and user_id != user.encode("utf-8", "surrogateescape"):
            raise precondition_failed(
                f"user_id property set to '{user_id.decode('utf-8', 'replace')}' but authenticated "
                f"user was '{user}'"
            )
        if direct_reply.NAME_BYTES in properties:
            properties = direct_reply.addressed(self, properties)
        return without_bcc(properties)

    def put_elsewhere(self, queue: AmqpQueue, item: Item) -> int:
        """Append to a stream."""
        taken = queue.put(item)
        if taken and queue.stream is not None:
            self.stored_in(queue.stream)
        return taken

    def publish_later(
        self, item: Item, queues: tuple[AmqpQueue, ...], route: Route | None, mandatory: bool
    ) -> None:
        """Hold a message until tx.commit."""
        assert self.transaction is not None  # noqa: S101 - that is what the mode says
        self.transaction.publish(item, queues, route, mandatory)

    def returned(self, mark: bytes, body: bytes) -> None:
        """A mandatory message that nobody gets (section 1.8.3.10)."""
        at = routing_size(mark)
        key_at = 1 + mark[0]
        method = codec.encode_method(
            "basic.return",
            reply_code=int(NO_ROUTE),
            reply_text="NO_ROUTE",
            exchange=mark[1:key_at].decode("utf-8", "surrogateescape"),
            routing_key=mark[key_at + 1 : at].decode("utf-8", "surrogateescape"),
        )
        frame_max = self.connection.frame_max
        self.connection.write(encode_content(self.number, frame_max, method, mark[at:], body))

    def confirm(self, last: int, stored: list[Durable], refused: Collection[int]) -> None:
        """Confirm, once it is durable, what was published (RabbitMQ: "Publisher Confirms")."""
        assert self._confirms is not None  # noqa: S101 - that is what the mode says
        self._confirms.published(last, stored, refused)

    def select_confirms(self) -> None:
        """Confirm from now on."""
        if self._confirms is None:
            self._confirms = Confirms(self._ack, self._nack)
            self.confirming = True

    def _ack(self, tag: int, multiple: bool) -> None:
        if not self.is_closing:
            self.answer("basic.ack", delivery_tag=tag, multiple=multiple)

    def _nack(self, tag: int, multiple: bool) -> None:
        if not self.is_closing:
            self.answer("basic.nack", delivery_tag=tag, multiple=multiple)


def _flow(channel: Channel, args: Any) -> None:
    channel.limits.is_flowing = args.active
    channel.answer("channel.flow-ok", active=args.active)
    channel.wake()


def _open(_channel: Channel, _args: Any) -> None:
    raise channel_error("second 'channel.open' seen")


def _confirm_select(channel: Channel, args: Any) -> None:
    if channel.transaction is not None:
        raise precondition_failed("cannot switch from tx to confirm mode")
    channel.select_confirms()
    channel.answer("confirm.select-ok", nowait=args.nowait)


def _access_request(channel: Channel, _args: Any) -> None:
    channel.answer("access.request-ok", ticket=1)  # of the days of AMQP 0-8; nobody looks at it


_HANDLERS: dict[str, Callable[[Channel, Any], None]] = {
    "channel.flow": _flow,
    "channel.open": _open,
    "confirm.select": _confirm_select,
    "access.request": _access_request,
    **declaring.HANDLERS,
    **consuming.HANDLERS,
    **settling.HANDLERS,
    **transactions.HANDLERS,
}
