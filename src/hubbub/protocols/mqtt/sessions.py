"""All sessions of a listener: by client identifier, until they expire, there again after a restart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from hubbub.broker.shared import SharedSettings
from hubbub.model.errors import StorageError
from hubbub.model.faults import contain
from hubbub.protocols.mqtt.codec import TopicFilter
from hubbub.protocols.mqtt.filters import Subscription, subscription_of
from hubbub.protocols.mqtt.flow import StoredPacket
from hubbub.protocols.mqtt.landing import Landing, is_there
from hubbub.protocols.mqtt.matches import Matches
from hubbub.protocols.mqtt.queue_names import SESSION_PREFIX, SHARE_PREFIX, queue_name
from hubbub.protocols.mqtt.session_state import NEVER, SessionKey, SessionState
from hubbub.protocols.mqtt.shares import Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubbub.broker.broker import Broker
    from hubbub.broker.publication import Stored
    from hubbub.broker.queue import Queue
    from hubbub.broker.timers import Timer
    from hubbub.protocols.mqtt.settings import Settings

TABLE = b"mqtt"
_LANDING = msgspec.msgpack.Decoder(Landing | None)

# How often what cannot be stored (a full disk) is tried again, in seconds.
_STORE_AGAIN_AFTER = 1.0

# A client is sent a message again when it comes back, and not before [MQTT-4.4.0-1].
_UNTIL_RECONNECT = SharedSettings(ack_deadline=math.inf)


class SessionEntry(msgspec.Struct, frozen=True, array_like=True):
    """A session as it is stored. ``ended_ms``: since when its client is away, Unix milliseconds."""

    expiry: int
    ended_ms: int | None = None


class StoredKey(msgspec.Struct, frozen=True, array_like=True):
    """Names something of a session in the state topic; ``text`` is a topic filter."""

    of: str  # "session", "filter", "sent", "received" or "last"
    principal: str
    client_id: str
    text: bytes = b""
    packet_id: int = 0


class StoredFilter(msgspec.Struct, frozen=True, array_like=True):
    """A subscription as it is stored."""

    qos: int
    no_local: bool
    retain_as_published: bool
    identifier: int | None


class Sessions:
    """Sessions by key; those that outlive their connections in a table of the broker's state."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self.broker = broker
        self.timers = broker.timers
        self.settings = settings
        self.matches = Matches()
        self.shares = Shares(broker, _UNTIL_RECONNECT, settings.max_queued_messages)
        self._table = broker.table(TABLE)
        self._sessions: dict[SessionKey, SessionState] = {}
        self._expiring: dict[SessionKey, Timer] = {}
        self._moved: dict[SessionState, None] = {}  # whose flow is to be stored
        self._dropped = 0  # of sessions that are over
        self._unforgotten: dict[SessionKey, SessionState] = {}  # for want of space on the disk
        self._roomy: dict[SessionState, None] = {}  # whose shared queues are to hand out more
        self._waiting: list[Callable[[], None]] = []  # for that to be durable
        self._turn: Timer | None = None
        self._load()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[SessionState]:
        return iter(tuple(self._sessions.values()))

    def get(self, key: SessionKey) -> SessionState | None:
        """The session, whether its client is there or not."""
        return self._sessions.get(key)

    @property
    def dropped(self) -> int:
        """Messages that clients did not get because too many waited for them already."""
        shared = sum(group.queue.dropped for group in self.shares if group.queue is not None)
        return self._dropped + shared + sum(state.dropped for state in self)

    def has_room(self, key: SessionKey) -> bool:
        """Whether there may be a session of this key."""
        return key in self._sessions or len(self._sessions) < self.settings.max_sessions

    def open(self, key: SessionKey, expiry: int) -> SessionState:
        """The session, new if there is none, of a client that has come. Raises StorageError."""
        self._forget_at_last(key)
        state = self._sessions.get(key)
        if state is None:
            state = SessionState(self, key, expiry)
        if expiry and not state.is_queued:
            state.open_queue()
        self.keep_for(state, expiry)
        self._sessions[key] = state
        self._stop_expiry(key)
        return state

    def keep_for(self, state: SessionState, expiry: int) -> None:
        """Let the session outlive its connections by so many seconds. Raises StorageError."""
        state.expiry = expiry
        self._store_entry(state, None)

    def leave(self, state: SessionState) -> None:
        """The client is gone; what is left of the session stays for its Session Expiry Interval."""
        if not state.outlives_connection:
            self.end(state)
            return
        contain(self._store_entry, state, self.timers.wall_ms)
        self._expire_after(state, state.expiry)

    def end(self, state: SessionState) -> None:
        """Forget the session (4.1.0-2)."""
        if self._sessions.get(state.key) is not state:
            return
        del self._sessions[state.key]
        self._dropped += state.dropped
        self._stop_expiry(state.key)
        self._moved.pop(state, None)
        contain(state.end)
        try:
            self._forget(state)
        except StorageError:
            self._unforgotten[state.key] = state
            self._store_after(_STORE_AGAIN_AFTER)

    # --- what sessions ask ---------------------------------------------------------------------

    def open_queue(self, key: SessionKey) -> Queue:
        """The queue of a session that outlives its connections. Raises StorageError."""
        limit = self.settings.max_queued_messages
        name = queue_name(SESSION_PREFIX, f"{key.principal}:{key.client_id}")
        return self.broker.queues.open(name, _UNTIL_RECONNECT, limit)

    def subscribed(self, state: SessionState, subscription: Subscription) -> None:
        """Store a subscription. Raises StorageError."""
        stored = StoredFilter(
            subscription.qos,
            subscription.no_local,
            subscription.retain_as_published,
            subscription.identifier,
        )
        self._put(_key("filter", state.key, subscription.text), stored)

    def unsubscribed(self, state: SessionState, subscription: Subscription) -> None:
        """Forget a stored subscription. Raises StorageError."""
        self._put(_key("filter", state.key, subscription.text), None)

    def flow_changed(self, state: SessionState) -> None:
        """Store, at the end of the turn, which Packet Identifiers are in use."""
        self._moved[state] = None
        self._store_after(0)

    def when_flow_durable(self, state: SessionState, done: Callable[[], None]) -> None:
        """Call ``done`` once the session's flow survives power loss; never if it cannot be stored."""
        self._waiting.append(done)
        self.flow_changed(state)

    def store_received(self, state: SessionState) -> Stored:
        """Store which messages of QoS 2 the client published; what to wait for. Raises StorageError."""
        self._moved[state] = None
        self._store_flows()
        return self._table.stored

    def takes_more(self, state: SessionState) -> None:
        """The client takes more: tell the queues that it shares, at the end of the turn."""
        if not self._roomy:
            self.timers.after(0, self._dispatch_shared)
        self._roomy[state] = None

    def _dispatch_shared(self) -> None:
        roomy, self._roomy = self._roomy, {}
        for state in roomy:
            state.dispatch_shared()

    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once every change made so far survives power loss, or with the failure."""
        self._table.when_durable(done)

    # --- expiry --------------------------------------------------------------------------------

    def _expire_after(self, state: SessionState, seconds: float) -> None:
        if state.expiry != NEVER:
            self._expiring[state.key] = self.timers.after(max(seconds, 0), lambda: self.end(state))

    def _stop_expiry(self, key: SessionKey) -> None:
        timer = self._expiring.pop(key, None)
        if timer is not None:
            timer.cancel()

    # --- storing -------------------------------------------------------------------------------

    def _store_after(self, seconds: float) -> None:
        if self._turn is None:
            self._turn = self.timers.after(seconds, self._store_in_turn)

    def _store_in_turn(self) -> None:
        self._turn = None
        try:
            for key in tuple(self._unforgotten):
                self._forget_at_last(key)
            self._store_flows()
        except StorageError:
            self._store_after(_STORE_AGAIN_AFTER)
            return
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._table.when_durable(lambda failure: None if failure else _call_each(waiting))

    def _store_flows(self) -> None:
        """Write down what changed since, with where queues stand first: both, or the older of each."""
        moved = [state for state in self._moved if self._sessions.get(state.key) is state]
        self.broker.queues.store()
        self._table.put(*(pair for state in moved for pair in _flow_pairs(state)))
        for state in moved:
            state.flow.stored()
        self._moved.clear()

    def _store_entry(self, state: SessionState, ended_ms: int | None) -> None:
        if state.outlives_connection or state.is_queued:
            self._put(_key("session", state.key), SessionEntry(state.expiry, ended_ms))

    def _put(self, key: bytes, value: object) -> None:
        self._table.put((key, None if value is None else msgspec.msgpack.encode(value)))

    def _forget_at_last(self, key: SessionKey) -> None:
        """What could not be forgotten when its session ended, and would be back after a restart."""
        if key in self._unforgotten:
            self._forget(self._unforgotten[key])
            del self._unforgotten[key]

    def _forget(self, state: SessionState) -> None:
        if state.flow.own is None:
            return
        ids = state.flow.stored_ids()
        keys = [_key("filter", state.key, each.text) for each in state.filters]
        keys += [_key("sent", state.key, packet_id=each) for each in ids.sent]
        keys += [_key("received", state.key, packet_id=each) for each in ids.received]
        keys += [_key("last", state.key), _key("session", state.key)]
        self._table.put(*((key, None) for key in keys))
        queue, state.flow.own = state.flow.own.queue, None
        self.broker.queues.delete(queue)

    def _load(self) -> None:
        found: dict[SessionKey, dict[str, list[tuple[StoredKey, bytes]]]] = {}
        for raw, value in self._table.load().items():
            stored = msgspec.msgpack.decode(raw, type=StoredKey)
            key = SessionKey(stored.principal, stored.client_id)
            found.setdefault(key, {}).setdefault(stored.of, []).append((stored, value))
        for key, parts in found.items():
            if "session" in parts:
                self._restore(key, parts)
        self._delete_orphans()

    def _restore(self, key: SessionKey, parts: dict[str, list[tuple[StoredKey, bytes]]]) -> None:
        entry = msgspec.msgpack.decode(parts["session"][0][1], type=SessionEntry)
        state = SessionState(self, key, entry.expiry)
        self._sessions[key] = state
        state.restore(
            [
                _subscription(stored.text, msgspec.msgpack.decode(value, type=StoredFilter))
                for stored, value in parts.get("filter", [])
            ]
        )
        for stored, value in parts.get("sent", []):
            packet = msgspec.msgpack.decode(value, type=StoredPacket)
            state.flow.restore(stored.packet_id, packet)
        for stored, value in parts.get("received", []):
            if is_there(_LANDING.decode(value), self.broker.topics):
                state.receipts.received.add(stored.packet_id)
            else:
                self._table.put((_key("received", key, packet_id=stored.packet_id), None))
        for _, value in parts.get("last", []):
            state.flow.restore_last_id(msgspec.msgpack.decode(value, type=int))
        ended_ms = self.timers.wall_ms if entry.ended_ms is None else entry.ended_ms
        away = max(self.timers.wall_ms - ended_ms, 0) / 1000
        self._expire_after(state, entry.expiry - away)

    def _delete_orphans(self) -> None:
        """Queues of shared subscriptions whose clients did not outlive the broker."""
        kept = {group.queue for group in self.shares}
        kept |= {state.flow.own.queue for state in self if state.flow.own is not None}
        for queue in self.broker.queues:
            if queue.name.startswith((SESSION_PREFIX, SHARE_PREFIX)) and queue not in kept:
                contain(self.broker.queues.delete, queue)


def _subscription(text: bytes, kept: StoredFilter) -> Subscription:
    wanted = TopicFilter(text, kept.qos, kept.no_local, kept.retain_as_published, 0)
    return subscription_of(wanted, kept.identifier)


def _key(of: str, key: SessionKey, text: bytes = b"", packet_id: int = 0) -> bytes:
    return msgspec.msgpack.encode(StoredKey(of, key.principal, key.client_id, text, packet_id))


def _flow_pairs(state: SessionState) -> Iterator[tuple[bytes, bytes | None]]:
    changes = state.flow.changes()
    for packet_id, packet in changes.sent.items():
        value = None if packet is None else msgspec.msgpack.encode(packet)
        yield _key("sent", state.key, packet_id=packet_id), value
    for packet_id, landing in changes.received.items():
        yield _key("received", state.key, packet_id=packet_id), landing
    yield _key("last", state.key), msgspec.msgpack.encode(changes.last_id)


def _call_each(waiting: list[Callable[[], None]]) -> None:
    for done in waiting:
        contain(done)
