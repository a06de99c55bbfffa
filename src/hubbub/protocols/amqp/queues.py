"""The queues of a virtual host: declared, used, and deleted by somebody or by themselves."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from hubbub.model.faults import contain
from hubbub.protocols.amqp import errors
from hubbub.protocols.amqp.arguments import assert_property, fingerprint
from hubbub.protocols.amqp.definitions import StoredQueue
from hubbub.protocols.amqp.names import joined, raw, stripped, text
from hubbub.protocols.amqp.queue import AmqpQueue
from hubbub.protocols.amqp.queue_arguments import (
    NAME_PREFIX,
    check_equivalent,
    name_prefix,
    parse,
    queue_type,
)
from hubbub.protocols.amqp.refusals import check_name, locked, no_such, queue_in
from hubbub.protocols.amqp.streams import Stream, open_topic
from hubbub.protocols.amqp.tables import decode_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.broker import Broker
    from hubbub.protocols.amqp.dead_letters import DeadLetters
    from hubbub.protocols.amqp.definitions import Definitions, StoredKey
    from hubbub.protocols.amqp.routing import Routing
    from hubbub.protocols.amqp.tables import Table

# A queue costs some kilobytes before anything is in it, and a durable one a directory and an open file;
# clients that make one for each reply and forget to say so are the usual way to have too many.
MAX_QUEUES = 50_000

_WORK_PREFIX = "amqp"


class Queues:
    """Queues by name; durable ones are there again after a restart.

    ``by_name`` is where they are. ``unbind`` takes a queue's bindings away and returns what is to be
    forgotten of them; ``on_deleted`` is told of each queue that is gone.
    """

    def __init__(
        self,
        by_name: dict[str, AmqpQueue],
        broker: Broker,
        vhost: str,
        definitions: Definitions,
        routing: Routing,
        dead_letters: DeadLetters,
        *,
        unbind: Callable[[AmqpQueue], list[StoredKey]],
        changed: Callable[[str], None],
        on_deleted: Callable[[AmqpQueue], None],
    ) -> None:
        self._by_name = by_name
        self._broker = broker
        self._timers = broker.timers
        self._vhost = vhost
        self._definitions = definitions
        self._routing = routing
        self._dead_letters = dead_letters
        self._unbind = unbind
        self._changed = changed
        self._on_deleted = on_deleted
        self._of_owner: dict[object, dict[AmqpQueue, None]] = {}

    def text(self, name: str) -> str:
        """How texts name a queue."""
        return queue_in(self._vhost, name)

    def get(self, name: str, owner: object) -> AmqpQueue:
        """The queue, for this connection. Raises ChannelError (404, 405)."""
        queue = self._by_name.get(name)
        if queue is None:
            raise no_such(self.text(name))
        self._check_access(queue, owner)
        return queue

    def declare(
        self,
        name: str,
        *,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Table,
        passive: bool,
        owner: object,
    ) -> AmqpQueue:
        """Make a queue, or find it as it is to be (AMQP 0-9-1 section 1.7.2.1).

        An empty name has one made for it. Raises ChannelError (403, 404, 405, 406) and StorageError.
        """
        name = stripped(name)
        if passive:
            found = self.get(name, owner)
            self.used(found)
            return found
        durable = durable and not exclusive
        name = self._name_for(name, arguments)
        arguments = {key: value for key, value in arguments.items() if key != NAME_PREFIX}
        its_owner = owner if exclusive else None
        queue = self._by_name.get(name)
        if queue is not None:
            self._check_same(queue, durable, auto_delete, arguments, its_owner)
            self.used(queue)
            return queue
        parsed = parse(
            arguments,
            self.text(name),
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
        )
        self._check_room(name)
        encoded = fingerprint(arguments)
        queue = AmqpQueue(
            name,
            durable=durable,
            auto_delete=auto_delete,
            owner=its_owner,
            arguments=arguments,
            parsed=parsed,
            id_=secrets.randbits(63),
        )
        self._open(queue, encoded)
        self._add(queue)
        return queue

    def delete(self, name: str, *, if_unused: bool, if_empty: bool, owner: object) -> int:
        """Delete a queue; how many messages waited (section 1.7.2.9).

        There need not be one. Raises ChannelError (405, 406), ConnectionFailure (540), StorageError.
        """
        queue = self._by_name.get(stripped(name))
        if queue is None:
            return 0
        self._check_access(queue, owner)
        if queue.kind == "quorum":
            _check_quorum_delete(self.text(queue.name), if_unused, if_empty)
        elif queue.kind == "classic":
            if if_unused and queue.consumers:
                raise errors.precondition_failed(f"{self.text(queue.name)} in use")
            if if_empty and queue.ready:
                raise errors.precondition_failed(f"{self.text(queue.name)} not empty")
        ready = queue.ready
        self.remove(queue)
        return ready

    def remove(self, queue: AmqpQueue) -> None:
        """Delete a queue, whatever anybody thinks of it. Raises StorageError.

        It is gone for good with its messages; what a crash leaves of its bindings leads nowhere.
        """
        if queue.deleted:
            return
        work = queue.work
        if work is not None:
            self._broker.work_queues.delete(work)
        queue.deleted = True
        del self._by_name[queue.name]
        if queue.expiry is not None:
            queue.expiry.cancel()
        if queue.owner is not None:
            self._of_owner[queue.owner].pop(queue, None)
        forgotten = self._unbind(queue)
        self._changed(queue.name)
        contain(self._on_deleted, queue)
        if queue.stream is not None:
            forgotten.append(self._definitions.stream_key(queue.name))
            contain(self._broker.topics.delete, queue.stream.topic)
        self._definitions.forget(forgotten)

    def purge(self, name: str, owner: object) -> int:
        """Forget what waits; how many that were (section 1.7.2.7).

        Raises ChannelError (404, 405), ConnectionFailure (540), StorageError.
        """
        queue = self.get(stripped(name), owner)
        if queue.work is None:
            raise errors.not_implemented(
                f"queue.purge not supported by stream queues {self.text(queue.name)}"
            )
        return queue.work.purge()

    def connection_closed(self, owner: object) -> None:
        """Delete what was exclusively this connection's."""
        for queue in self._of_owner.pop(owner, {}):
            queue.owner = None
            contain(self.remove, queue)

    def used(self, queue: AmqpQueue) -> None:
        """Somebody declared it, took or takes from it: `x-expires` begins anew."""
        queue.used_at = self._timers.now

    def consumers_gone(self, queue: AmqpQueue) -> None:
        """The last consumer left."""
        if queue.deleted:
            return
        self.used(queue)
        if queue.auto_delete:
            self.remove(queue)

    def restore(self, stored: StoredQueue, *, is_stream: bool = False) -> None:
        """A durable queue that outlived the broker: its work queue is there already."""
        arguments = decode_table(stored.arguments)
        name = text(stored.name)
        parsed = parse(
            arguments,
            self.text(name),
            durable=True,
            exclusive=False,
            auto_delete=stored.auto_delete and not is_stream,
        )
        queue = AmqpQueue(
            name,
            durable=True,
            auto_delete=stored.auto_delete,
            owner=None,
            arguments=arguments,
            parsed=parsed,
            id_=stored.id,
        )
        if is_stream:
            queue.stream = Stream(self._broker, open_topic(self._broker, self._vhost, queue))
        else:
            self._open(queue, stored.arguments)
        self._add(queue)

    def load(self) -> None:
        """Find the durable work queues of this virtual host."""
        prefix = joined(_WORK_PREFIX, self._vhost, "")
        for work in self._broker.work_queues:
            if work.name.startswith(prefix) and work.settings.durable:
                contain(self.restore, msgspec.msgpack.decode(work.attributes, type=StoredQueue))

    # --- inside --------------------------------------------------------------------------------

    def _name_for(self, name: str, arguments: Table) -> str:
        if name:
            check_name("queue", name)
            return name
        kind = queue_type(arguments, self.text(name))
        if kind != "classic":
            raise errors.precondition_failed(
                f"Cannot declare a server-named queue for type rabbit_{kind}_queue"
            )
        unguessable = urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
        return f"{name_prefix(arguments)}-{unguessable}"

    def _check_access(self, queue: AmqpQueue, owner: object) -> None:
        if queue.owner is not None and queue.owner is not owner:
            raise locked(self.text(queue.name))

    def _check_same(
        self,
        queue: AmqpQueue,
        durable: bool,
        auto_delete: bool,
        arguments: Table,
        owner: object | None,
    ) -> None:
        named = self.text(queue.name)
        if queue.owner is not owner:
            raise locked(named)
        assert_property(named, "durable", queue.durable, durable)
        assert_property(named, "auto_delete", queue.auto_delete, auto_delete)
        check_equivalent(named, queue.kind, queue.arguments, arguments)

    def _check_room(self, name: str) -> None:
        if len(self._by_name) >= MAX_QUEUES:
            raise errors.precondition_failed(
                f"cannot declare queue '{name}': queue limit in vhost '{self._vhost}' "
                f"({MAX_QUEUES}) is reached"
            )

    def _open(self, queue: AmqpQueue, arguments: bytes) -> None:
        """Give it the place for its messages: with its definition beside them, if it is durable."""
        attributes = b""
        if queue.durable:
            stored = StoredQueue(
                queue.id,
                raw(self._vhost),
                raw(queue.name),
                queue.auto_delete,
                arguments,
            )
            if queue.kind == "stream":
                queue.stream = Stream(self._broker, open_topic(self._broker, self._vhost, queue))
                self._definitions.store(self._definitions.stream_key(queue.name), stored)
                return
            attributes = msgspec.msgpack.encode(stored)
        settings = msgspec.structs.replace(queue.parsed.settings, durable=queue.durable)
        name = joined(_WORK_PREFIX, self._vhost, queue.name)
        queue.work = self._broker.work_queues.open(name, settings, attributes)
        queue.work.on_consumers_gone = partial(self.consumers_gone, queue)
        self._dead_letters.attach(queue)

    def _add(self, queue: AmqpQueue) -> None:
        self._by_name[queue.name] = queue
        if queue.owner is not None:
            self._of_owner.setdefault(queue.owner, {})[queue] = None
        self.used(queue)
        if queue.parsed.expires_ms is not None:
            self._expire_after(queue, queue.parsed.expires_ms / 1000)
        self._changed(queue.name)

    def _expire_after(self, queue: AmqpQueue, seconds: float) -> None:
        queue.expiry = self._timers.after(seconds, partial(self._may_expire, queue))

    def _may_expire(self, queue: AmqpQueue) -> None:
        """Delete it if nobody used it for so long; who used it only noted when."""
        if queue.deleted or queue.parsed.expires_ms is None:
            return
        unused_for = self._timers.now - queue.used_at
        left = queue.parsed.expires_ms / 1000 - unused_for
        if queue.consumers:
            self._expire_after(queue, queue.parsed.expires_ms / 1000)
        elif left > 0:
            self._expire_after(queue, left)
        else:
            self.remove(queue)


def _check_quorum_delete(queue: str, if_unused: bool, if_empty: bool) -> None:
    for asked, flag in ((if_unused, "if-unused"), (if_empty, "if-empty")):
        if asked:
            raise errors.not_implemented(
                f"cannot delete {queue}. queue.delete operations with {flag} flag set "
                "are not supported by quorum queues"
            )
