"""A virtual host: its exchanges, queues and bindings, and what may be done with them.

What is refused is refused in RabbitMQ's words and in its order, which clients' tests go by.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from hubbub.model.faults import contain
from hubbub.protocols.amqp import errors
from hubbub.protocols.amqp.arguments import assert_equivalent, assert_property, fingerprint, text_of
from hubbub.protocols.amqp.bindings import Binding, Bindings
from hubbub.protocols.amqp.dead_letters import DeadLetters
from hubbub.protocols.amqp.definitions import (
    TABLE,
    Definitions,
    StoredBinding,
    StoredExchange,
)
from hubbub.protocols.amqp.delayed import Delayed, delete_orphans
from hubbub.protocols.amqp.exchanges import (
    DEFAULT_EXCHANGE,
    DELAYED_TYPE,
    PREDECLARED,
    Exchange,
    check_type,
    matcher_for,
)
from hubbub.protocols.amqp.names import stripped, text
from hubbub.protocols.amqp.queues import Queues
from hubbub.protocols.amqp.refusals import check_name, exchange_in, no_such
from hubbub.protocols.amqp.routing import Routing
from hubbub.protocols.amqp.tables import decode_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hubbub.broker.broker import Broker
    from hubbub.protocols.amqp.bindings import Destination
    from hubbub.protocols.amqp.crossing import Crossing
    from hubbub.protocols.amqp.definitions import StoredKey
    from hubbub.protocols.amqp.queue import AmqpQueue
    from hubbub.protocols.amqp.tables import Table

ALTERNATE_EXCHANGE = "alternate-exchange"

# Each is some hundred bytes and, if durable, as many in the state, which is read whole at a start. A
# message that a hundred thousand bindings lead away takes a second of everybody's time.
MAX_EXCHANGES = 10_000
MAX_BINDINGS = 100_000

# The id of exchanges that are the same ones after each start.
_ALWAYS_THERE = 0


class VirtualHost:
    """Everything of one virtual host; what is durable comes back with it.

    ``on_queue_deleted`` is told of each queue that is gone, by whatever cause. ``owner`` is a
    connection. Names are text (`names.text`), routing keys bytes.
    """

    def __init__(
        self, broker: Broker, name: str, on_queue_deleted: Callable[[AmqpQueue], None]
    ) -> None:
        self.name = name
        self.broker = broker
        self.exchanges: dict[str, Exchange] = {}
        self.bindings = Bindings()
        self.watcher: Crossing | None = None  # wants to know what comes and goes
        self._definitions = Definitions(broker.table(TABLE), broker.timers, name)
        self.queues: dict[str, AmqpQueue] = {}
        self._routing = Routing(self.exchanges, self.queues, self.bindings)
        self._queues = Queues(
            self.queues,
            broker,
            name,
            self._definitions,
            self._routing,
            DeadLetters(self.exchanges, self._routing, broker.timers),
            unbind=lambda queue: self._unbind(self.bindings.of_destination(queue)),
            changed=self._queue_changed,
            on_deleted=on_queue_deleted,
        )
        for each, type_ in PREDECLARED.items():
            self._add_exchange(self._new_exchange(each, type_, durable=True, id_=_ALWAYS_THERE))
        self._load()

    # --- exchanges -----------------------------------------------------------------------------

    def exchange(self, name: str) -> Exchange:
        """The exchange of that name. Raises ChannelError (404)."""
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise no_such(exchange_in(self.name, name))
        return exchange

    def declare_exchange(
        self,
        name: str,
        type_: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: Table | None = None,
        passive: bool = False,
    ) -> Exchange:
        """Make an exchange, or find it as it is to be (AMQP 0-9-1 section 1.6.2.1).

        Raises ChannelError (403, 404, 406) and StorageError.
        """
        if not passive:
            check_type(type_)
        name = stripped(name)
        _check_not_default(name)
        if passive:
            return self.exchange(name)
        arguments = arguments or {}
        named = exchange_in(self.name, name)
        exchange = self.exchanges.get(name)
        if exchange is None:
            check_name("exchange", name)
            exchange = self._new_exchange(
                name, type_, durable, auto_delete, internal, arguments=arguments
            )
            if len(self.exchanges) >= MAX_EXCHANGES:
                raise errors.precondition_failed(
                    f"cannot declare {named}: exchange limit of {MAX_EXCHANGES} is reached"
                )
            stored = StoredExchange(
                exchange.id, type_, auto_delete, internal, fingerprint(arguments)
            )
            if durable:
                self._definitions.store(self._definitions.exchange_key(name), stored)
            self._add_exchange(exchange)
        else:
            _check_same(named, exchange, type_, durable, auto_delete, internal, arguments)
        return exchange

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Delete an exchange (section 1.6.2.3). There need not be one.

        Raises ChannelError (403, 406) and StorageError; it is gone all the same after that.
        """
        name = stripped(name)
        _check_not_default(name)
        named = exchange_in(self.name, name)
        if name.startswith("amq."):
            raise errors.access_refused(f"deletion of system {named} not allowed")
        exchange = self.exchanges.get(name)
        if exchange is None:
            return
        if if_unused and self.bindings.of_source(exchange):
            raise errors.precondition_failed(f"{named} in use")
        self._definitions.forget(self._remove_exchange(exchange))

    # --- bindings ------------------------------------------------------------------------------

    def bind_exchange(self, destination: str, source: str, key: bytes, arguments: Table) -> None:
        """Let messages of one exchange go on to another (RabbitMQ: Exchange to Exchange Bindings).

        Raises ChannelError (403, 404, 406) and StorageError.
        """
        destination, source = stripped(destination), stripped(source)
        _check_not_default(destination, source)
        origin = self.exchange(source)
        self._bind(origin, self.exchange(destination), key, arguments)

    def unbind_exchange(self, destination: str, source: str, key: bytes, arguments: Table) -> None:
        """Undo ``bind_exchange``; neither binding nor exchanges need be there.

        Raises ChannelError (403) and StorageError.
        """
        destination, source = stripped(destination), stripped(source)
        _check_not_default(destination, source)
        binding = self._binding(source, self.exchanges.get(destination), key, arguments)
        if binding is not None:
            self._definitions.forget(self._unbind((binding,)))

    def bind_queue(
        self, queue: str, exchange: str, key: bytes, arguments: Table, owner: object
    ) -> None:
        """Let messages of an exchange come into a queue (AMQP 0-9-1 section 1.7.2.3).

        Raises ChannelError (403, 404, 405, 406) and StorageError.
        """
        exchange = stripped(exchange)
        _check_not_default(exchange)
        origin = self.exchange(exchange)
        self._bind(origin, self._queues.get(stripped(queue), owner), key, arguments)

    def unbind_queue(
        self, queue: str, exchange: str, key: bytes, arguments: Table, owner: object
    ) -> None:
        """Undo ``bind_queue`` (section 1.7.2.5); neither binding, queue nor exchange need be there.

        Raises ChannelError (403, 405) and StorageError.
        """
        queue, exchange = stripped(queue), stripped(exchange)
        _check_not_default(exchange)
        binding = self._binding(exchange, self.queues.get(queue), key, arguments)
        if binding is not None:
            self._queues.get(queue, owner)
            self._definitions.forget(self._unbind((binding,)))

    # --- queues --------------------------------------------------------------------------------

    def declare_queue(
        self,
        name: str,
        *,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Table | None = None,
        passive: bool = False,
        owner: object = None,
    ) -> AmqpQueue:
        """Make a queue, or find it as it is to be (section 1.7.2.1).

        An empty name has one made for it. Raises ChannelError (403, 404, 405, 406) and StorageError.
        """
        return self._queues.declare(
            name,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=arguments or {},
            passive=passive,
            owner=owner,
        )

    def queue(self, name: str, owner: object) -> AmqpQueue:
        """The queue of that name, for this connection. Raises ChannelError (404, 405)."""
        return self._queues.get(name, owner)

    def delete_queue(
        self, name: str, *, if_unused: bool = False, if_empty: bool = False, owner: object = None
    ) -> int:
        """Delete a queue; how many messages waited (section 1.7.2.9). There need not be one.

        Raises ChannelError (405, 406), ConnectionFailure (540) and StorageError.
        """
        return self._queues.delete(name, if_unused=if_unused, if_empty=if_empty, owner=owner)

    def purge_queue(self, name: str, owner: object) -> int:
        """Forget what waits in a queue; how many that were (section 1.7.2.7).

        Raises ChannelError (404, 405), ConnectionFailure (540) and StorageError.
        """
        return self._queues.purge(name, owner)

    def connection_closed(self, owner: object) -> None:
        """Delete the exclusive queues of a connection."""
        self._queues.connection_closed(owner)

    def used(self, queue: AmqpQueue) -> None:
        """Somebody consumes, consumed or got from it: `x-expires` begins anew."""
        self._queues.used(queue)

    def consumers_gone(self, queue: AmqpQueue) -> None:
        """The last consumer left a stream; work queues tell of that themselves."""
        self._queues.consumers_gone(queue)

    # --- messages ------------------------------------------------------------------------------

    def route(self, exchange: Exchange, key: bytes, properties: bytes) -> tuple[AmqpQueue, ...]:
        """The queues that a message goes to, each once; see ``Routing.route``."""
        return self._routing.route(exchange, key, properties)

    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once exchanges and bindings survive power loss, or with the failure."""
        self._definitions.when_durable(done)

    # --- inside --------------------------------------------------------------------------------

    def _new_exchange(
        self,
        name: str,
        type_: str,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        *,
        arguments: Table | None = None,
        id_: int | None = None,
    ) -> Exchange:
        arguments = arguments or {}
        alternate = arguments.get(ALTERNATE_EXCHANGE)
        if alternate is not None and alternate.type_name != "longstr":
            raise errors.precondition_failed(
                f"invalid type '{alternate.type_name}' for arg '{ALTERNATE_EXCHANGE}' in "
                f"{exchange_in(self.name, name)}"
            )
        return Exchange(
            name,
            type_,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=arguments,
            matcher=matcher_for(type_, arguments),
            alternate=None if alternate is None else text_of(alternate),
            id_=secrets.randbits(63) if id_ is None else id_,
        )

    def _add_exchange(self, exchange: Exchange) -> None:
        if exchange.type == DELAYED_TYPE:
            exchange.delayed = Delayed(self.broker, self.name, exchange, self._routing)
        self.exchanges[exchange.name] = exchange
        self.bindings.exchange_declared(exchange)
        self._routing.changed(exchange)  # it may be the alternate of others
        if self.watcher is not None:
            self.watcher.exchange_added(exchange)

    def _remove_exchange(self, exchange: Exchange) -> list[StoredKey]:
        """Take an exchange away, and all that is bound to it; what is to be forgotten."""
        forgotten = self._drop_exchange(exchange)
        for binding in self.bindings.of_source(exchange):
            forgotten += self._remove_binding(binding)
        return forgotten + self._unbind(self.bindings.of_destination(exchange))

    def _drop_exchange(self, exchange: Exchange) -> list[StoredKey]:
        self._routing.changed(exchange)
        self.bindings.exchange_deleted(exchange)
        del self.exchanges[exchange.name]
        if self.watcher is not None:
            self.watcher.exchange_removed(exchange)
        if exchange.delayed is not None:
            contain(exchange.delayed.delete)
        return [self._definitions.exchange_key(exchange.name)] if exchange.durable else []

    def _bind(self, source: Exchange, end: Destination, key: bytes, arguments: Table) -> None:
        binding = Binding(source, end, key, arguments, fingerprint(arguments))
        source.matcher.check(binding)
        if self.bindings.get(binding.identity) is not None:
            return
        if len(self.bindings) >= MAX_BINDINGS:
            raise errors.precondition_failed(
                f"cannot bind to {exchange_in(self.name, source.name)}: "
                f"binding limit of {MAX_BINDINGS} is reached"
            )
        if binding.durable:
            self._definitions.store(
                self._definitions.binding_key(binding), StoredBinding(source.id, end.id)
            )
        self.bindings.add(binding)
        self._routing.changed(source)
        if self.watcher is not None:
            self.watcher.bound(binding)

    def _binding(
        self, exchange: str, end: Destination | None, key: bytes, arguments: Table
    ) -> Binding | None:
        source = self.exchanges.get(exchange)
        if source is None or end is None:
            return None
        return self.bindings.get((source, end, key, fingerprint(arguments)))

    def _unbind(self, bindings: Iterable[Binding]) -> list[StoredKey]:
        """Take bindings away, and the auto-delete exchanges that none leads away from any more.

        What leads to these goes with them, and so on; what is to be forgotten of all this.
        """
        forgotten: list[StoredKey] = []
        waiting = list(bindings)
        while waiting:
            binding = waiting.pop()
            source = binding.source
            if self.bindings.get(binding.identity) is not binding:
                continue
            forgotten += self._remove_binding(binding)
            if source.auto_delete and not self.bindings.of_source(source):
                waiting += self.bindings.of_destination(source)
                forgotten += self._drop_exchange(source)
        return forgotten

    def _queue_changed(self, name: str) -> None:
        self._routing.queue_changed(name)
        if self.watcher is not None and name in self.queues:
            self.watcher.declared(name)
        elif self.watcher is not None:
            self.watcher.deleted(name)

    def _remove_binding(self, binding: Binding) -> list[StoredKey]:
        self.bindings.remove(binding)
        self._routing.changed(binding.source)
        if self.watcher is not None:
            self.watcher.unbound(binding)
        return [self._definitions.binding_key(binding)] if binding.durable else []

    # --- a start -------------------------------------------------------------------------------

    def _load(self) -> None:
        """Exchanges, then queues, then what is bound between them; what leads nowhere is forgotten."""
        bindings: list[tuple[StoredKey, StoredBinding]] = []
        for key, stored in self._definitions.load():
            if isinstance(stored, StoredBinding):
                bindings.append((key, stored))
            elif isinstance(stored, StoredExchange):
                contain(self._restore_exchange, text(key.name), stored)
            else:
                contain(self._queues.restore, stored, is_stream=True)
        self._queues.load()
        delete_orphans(self.broker, self.name, self.exchanges.values())
        forgotten: list[StoredKey] = []
        abandoned: dict[Exchange, None] = {}
        for key, stored in bindings:
            if not self._restore_binding(key, stored):
                forgotten.append(key)
                source = self.exchanges.get(text(key.name))
                if source is not None and source.auto_delete and source.id == stored.source_id:
                    abandoned[source] = None
        for source in abandoned:
            if not self.bindings.of_source(source):
                forgotten += self._remove_exchange(source)
        contain(self._definitions.forget, forgotten)

    def _restore_exchange(self, name: str, stored: StoredExchange) -> None:
        self._add_exchange(
            self._new_exchange(
                name,
                stored.type,
                True,
                stored.auto_delete,
                stored.internal,
                arguments=decode_table(stored.arguments),
                id_=stored.id,
            )
        )

    def _restore_binding(self, key: StoredKey, stored: StoredBinding) -> bool:
        """Bind what was bound; whether both ends are what they were."""
        source = self.exchanges.get(text(key.name))
        name = text(key.destination)
        end: Destination | None = self.queues.get(name)
        if key.to == "exchange":
            end = self.exchanges.get(name)
        if source is None or end is None:
            return False
        if (source.id, end.id) != (stored.source_id, stored.destination_id):
            return False
        arguments = decode_table(key.fingerprint)
        self.bindings.add(Binding(source, end, key.routing_key, arguments, key.fingerprint))
        return True


def _check_not_default(*names: str) -> None:
    if DEFAULT_EXCHANGE in names:
        raise errors.access_refused("operation not permitted on the default exchange")


def _atom(type_: str) -> str:
    """A type as Erlang prints it."""
    return type_ if type_.isalpha() else f"'{type_}'"


def _check_same(
    named: str,
    exchange: Exchange,
    type_: str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Table,
) -> None:
    assert_property(named, "type", _atom(exchange.type), _atom(type_))
    assert_property(named, "durable", exchange.durable, durable)
    assert_property(named, "auto_delete", exchange.auto_delete, auto_delete)
    assert_property(named, "internal", exchange.internal, internal)
    current, received = (each.get(ALTERNATE_EXCHANGE) for each in (exchange.arguments, arguments))
    assert_equivalent(named, ALTERNATE_EXCHANGE, current, received)
