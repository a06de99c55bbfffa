"""The bus protocol without a socket: what its session answers, and what it refuses."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.broker.broker import Broker
from hubbub.broker.membership import Membership
from hubbub.broker.observer import Subscriber
from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer
from hubbub.broker.tail import FromOffset, FromTime
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.model.address import parse_address
from hubbub.model.errors import DeniedError, InvalidSettingsError, StorageError, UnknownTopicError
from hubbub.model.message import Message
from hubbub.model.pattern import parse_pattern
from hubbub.model.settings import TopicSettings
from hubbub.protocols.bus import codec, mapping
from hubbub.protocols.bus.codec import (
    Ack,
    CreateTopic,
    Credit,
    Delivered,
    Done,
    Failed,
    FrameError,
    FrameReader,
    Grouped,
    GroupSettings,
    Hello,
    ListSubscribers,
    ListTopics,
    Nack,
    Place,
    Publish,
    Published,
    Replayed,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Welcome,
    WireMessage,
)
from hubbub.protocols.bus.listener import BusListener
from hubbub.protocols.bus.service import MAX_SUBSCRIPTIONS
from hubbub.protocols.bus.session import (
    CONGESTED_BYTES,
    MAX_FRAMES_PER_TURN,
    MAX_UNANSWERED,
)

HELLO = Hello(1, codec.VERSION, "tester")
GROUP = Grouped("g", "beginning", GroupSettings(30.0, 0.0, 0, None))


class LazyLog(MemoryLog):
    """Nothing becomes durable before ``sync``."""

    def __init__(self):
        super().__init__()
        self.partitions = []
        self.lazy = False

    def open(self, number, partition, settings):
        opened = super().open(number, partition, settings)
        answer_at_once = opened.when_durable

        def when_durable(offset, done):
            if self.lazy:
                self.partitions.append((offset, done))
            else:
                answer_at_once(offset, done)

        opened.when_durable = when_durable
        return opened

    def sync(self):
        waiting, self.partitions = self.partitions, []
        for _, done in waiting:
            done(None)


class World:
    def __init__(self):
        self.log = LazyLog()
        self.timers = Timers(0.0, 1_700_000_000_000)
        self.broker = Broker(self.log, self.timers)
        self.listener = BusListener(self.broker)

    def client(self, *, greeted=True):
        client = Client(self)
        if greeted:
            assert client.ask(HELLO) == [Welcome(1, codec.VERSION)]
        return client

    def pass_time(self, seconds=0.0):
        start, wall = self.timers.now + seconds, self.timers.wall_ms
        self.timers.advance(start, wall)
        while (due := self.timers.next_due()) is not None and due <= start:
            self.timers.advance(start, wall)

    def publish(self, address, *values):
        for value in values:
            self.broker.publish(Message(parse_address(address), value))
        self.pass_time()

    def publish_to_new(self, topic, value):
        self.broker.create_topic(parse_address(topic))
        self.publish(topic, value)


class GroupWorker:
    """A member with room for everything."""

    subscriber = Subscriber("test", "worker")
    credit = 100

    def __init__(self):
        self.got = []

    def work(self, source, delivery):
        self.got.append((source, delivery.lease))


class Client:
    """The other end of a session; reads what is in its outbox."""

    def __init__(self, world):
        self.world = world
        self.looks = []  # what the server saw of ``paused`` each time it was to look
        self.outbox = Outbox(lambda: self.looks.append(self.session.paused))
        peer = Peer(("127.0.0.1", 1), ("127.0.0.1", 2))
        self.session = world.listener.session(peer, self.outbox)
        self._reader = FrameReader(2**31)

    def send(self, *requests):
        self.session.receive(b"".join(map(codec.frame, requests)))
        self.world.pass_time()

    def ask(self, *requests):
        self.send(*requests)
        return self.read()

    def read(self):
        for chunk in self.outbox.take():
            self._reader.feed(chunk)
        return [codec.decode_response(body) for body in self._reader.frames()]

    def values(self):
        return [codec.decode_message(found.message).value for found in self.read()]


@pytest.fixture
def world():
    return World()


# Conversation


def test_the_listener_is_called_bus_at_8221(world):
    assert (BusListener.name, BusListener.default_port) == ("bus", 8221)
    with pytest.raises(InvalidSettingsError):
        BusListener(world.broker, {"colour": "red"})


def test_a_publish_is_acknowledged_when_it_is_durable_in_order(world):
    client = world.client()
    client.ask(CreateTopic(2, "t"))
    world.log.lazy = True
    messages = [Publish(number, WireMessage("t", b"x")) for number in (3, 4, 5)]
    assert client.ask(*messages, Publish(6, WireMessage("live", b"x"))) == [Published(6, 0, ())]
    world.log.sync()
    assert client.read() == [
        Published(number, 0, (Place("t", 0, number - 3),)) for number in (3, 4, 5)
    ]


def test_reading_pauses_while_too_much_waits_for_the_disk(world):
    client = world.client()
    client.ask(CreateTopic(2, "t"))
    world.log.lazy = True
    for number in range(MAX_UNANSWERED):
        assert not client.session.paused
        client.send(Publish(number + 3, WireMessage("t", b"x")))
    assert client.session.paused
    world.log.sync()
    assert not client.session.paused


def test_a_new_group_is_confirmed_when_it_is_durable(world):
    client = world.client()
    world.log.lazy = True
    assert client.ask(Subscribe(2, 1, "t", GROUP, 1)) == []
    world.log.sync()  # the topic
    world.log.sync()  # the group
    assert client.read() == [Subscribed(2)]


def test_live_messages_come_under_the_clients_number_until_it_unsubscribes(world):
    client = world.client()
    assert client.ask(Subscribe(2, 77, "a.*")) == [Subscribed(2)]
    world.publish("a.b", b"1")
    (delivered,) = client.read()
    assert (delivered.subscription, delivered.place, delivered.lease) == (77, None, None)
    message = codec.decode_message(delivered.message)
    assert (message.address, message.value) == ("a.b", b"1")
    assert client.ask(Unsubscribe(3, 77)) == [Done(3)]
    world.publish("a.b", b"2")
    assert client.read() == []


def test_one_message_is_encoded_once_for_all_who_get_it(world):
    clients = [world.client() for _ in range(3)]
    for client in clients:
        client.ask(Subscribe(2, 1, "t"))
    message = Message(parse_address("t"), b"x" * 1000)
    renderer = mapping.MessageRenderer()
    assert renderer.render(message) is renderer.render(message)
    world.publish("t", b"x")
    assert [client.values() for client in clients] == [[b"x"]] * 3


def test_a_replay_sends_no_more_than_it_has_credit_for(world):
    client = world.client()
    client.ask(CreateTopic(2, "t"))
    world.publish("t", b"0", b"1", b"2")
    (subscribed, *delivered) = client.ask(Subscribe(3, 1, "t", Replayed("beginning"), 2))
    assert subscribed == Subscribed(3, (Place("t", 0, 0),))
    assert [found.place for found in delivered] == [Place("t", 0, 0), Place("t", 0, 1)]
    client.send(Credit(1, 5))
    assert client.values() == [b"2"]
    world.publish("t", b"3")
    assert client.values() == [b"3"]


def test_a_replay_goes_on_from_positions_and_reads_unknown_topics_whole(world):
    client = world.client()
    client.ask(CreateTopic(2, "a.x"), CreateTopic(3, "a.y"))
    world.publish("a.x", b"0", b"1")
    world.publish("a.y", b"2")
    known = (Place("a.x", 0, 1), Place("a.gone", 3, 10), Place("a.x", 9, 1))
    found = client.ask(Subscribe(4, 1, "a.*", Replayed("new", known), 10))
    assert [codec.decode_message(f.message).value for f in found[1:]] == [b"1", b"2"]


def test_a_client_behind_with_reading_leaves_stored_messages_in_the_log(world):
    client = world.client()
    client.ask(CreateTopic(2, "t"))
    world.publish("t", *[b"x" * (CONGESTED_BYTES // 2)] * 5)
    client.send(Subscribe(3, 1, "t", Replayed("beginning"), 100))
    assert client.session.congested
    assert len(client.read()) < 5
    client.send(Credit(1, 1))
    client.send(Credit(1, 1))
    assert not client.outbox.overflowed


def test_a_client_that_does_not_read_live_messages_is_cut_off(world):
    client = world.client()
    client.ask(Subscribe(2, 1, "t"))
    while not client.outbox.overflowed:
        world.publish("t", b"x" * 1_000_000)
    assert client.outbox.size == 0


def test_a_group_delivers_leases_that_are_settled_one_by_one(world):
    client = world.client()
    _, *none = client.ask(Subscribe(2, 1, "t", GROUP, 2))
    assert none == []
    world.publish("t", b"0", b"1", b"2")
    first, second = client.read()
    assert (first.lease.attempt, first.place) == (1, Place("t", 0, 0))
    client.send(Ack(1, first.lease.source, first.lease.lease), Credit(1, 1))
    assert client.values() == [b"2"]
    client.send(Nack(1, second.lease.source, second.lease.lease, 0.0), Credit(1, 1))
    (again,) = client.read()
    assert (again.place, again.lease.attempt) == (second.place, 2)
    (group,) = world.broker.subscriptions
    assert group.lag == 2


def test_what_a_lost_connection_held_goes_to_another(world):
    one, other = world.client(), world.client()
    one.ask(Subscribe(2, 1, "t", GROUP, 1))
    world.publish("t", b"x")
    assert one.values() == [b"x"]
    other.ask(Subscribe(2, 1, "t", GROUP, 1))
    one.session.disconnected()
    world.pass_time()
    (delivered,) = other.read()
    assert delivered.lease.attempt == 2


@pytest.mark.parametrize(
    "notice", [Credit(9, 1), Ack(9, 0, 0), Ack(1, 5, 5), Nack(1, -3, 2), Ack(2, 0, 1)]
)
def test_a_notice_about_what_is_not_there_is_ignored(world, notice):
    client = world.client()
    client.ask(Subscribe(2, 1, "t", GROUP, 1), Subscribe(3, 2, "t"))
    assert client.ask(notice) == []
    assert not client.outbox.closing


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (Publish(5, WireMessage("a\nb", b"x")), "InvalidAddressError"),
        (Publish(5, WireMessage("__hubbub_state", b"x")), "DeniedError"),
        (Publish(5, WireMessage("a", b"x", reply_to="\x00")), "InvalidAddressError"),
        (Subscribe(5, 1, "a.>.b"), "InvalidAddressError"),
        (Subscribe(5, 3, "a.*"), "InvalidSettingsError"),
        (Subscribe(5, 1, "__consumer_offsets", GROUP), "DeniedError"),
        (CreateTopic(5, ""), "InvalidAddressError"),
        (CreateTopic(5, "t", 10**9), "InvalidSettingsError"),
        (codec.DeleteTopic(5, "t"), "UnknownTopicError"),
        (codec.DeleteSubscription(5, "t", "t"), "UnknownTopicError"),
        (ListSubscribers(5, "\n"), "InvalidAddressError"),
    ],
)
def test_a_call_that_cannot_be_carried_out_fails_alone(world, request_, error):
    client = world.client()
    client.ask(Subscribe(2, 3, "x"))
    (failed,) = client.ask(request_)
    assert (failed.id, failed.error) == (5, error)
    (topics,) = client.ask(ListTopics(6))
    assert topics.id == 6


def test_a_client_has_only_so_many_subscriptions(world):
    client = world.client()
    client.send(*[Subscribe(2, number, "t") for number in range(MAX_SUBSCRIPTIONS)])
    client.read()
    (failed,) = client.ask(Subscribe(3, MAX_SUBSCRIPTIONS, "t"))
    assert failed.error == "InvalidSettingsError"


def test_errors_keep_their_class_over_the_wire():
    for error in (UnknownTopicError("x"), DeniedError("y")):
        back = mapping.error_of(mapping.failed(1, error))
        assert (type(back), str(back)) == (type(error), str(error))
    for kind in ("OffsetOutOfRangeError", "annotations", "SystemExit"):
        assert str(mapping.error_of(Failed(1, kind, "why"))) == f"{kind}: why"


# Hostile


def closed_with_an_error(client):
    *_, failed = client.read()
    return failed.id == 0 and client.outbox.closing


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x80",
        b"\x91\xa7unknown",
        b"\x92\xa6topics\xa1x",
        b"\x91\xa6topics",
        b"\x94\xa7extend\x01\x01\x01",
        b"\x95\xa6extend\x01\x01\x01\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
        b"\x93\xa6credit\x01\xd0\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 4000,
        b"\x93\xa6topics\x01" + b"\x91" * 4000,
        b"\xc6\xff\xff\xff\xff",
        b"\x91\xa1\x80",
    ],
)
def test_a_frame_that_means_nothing_closes_the_connection(world, body):
    client = world.client()
    client.session.receive(struct.pack(">I", len(body)) + body)
    assert closed_with_an_error(client)
    client.session.receive(codec.frame(ListTopics(2)))
    assert client.read() == []


@pytest.mark.parametrize(
    "first", [ListTopics(1), Hello(1, codec.VERSION + 1, "new"), Publish(1, WireMessage("t", b"x"))]
)
def test_the_first_frame_is_a_hello_of_this_version(world, first):
    client = world.client(greeted=False)
    client.send(first)
    assert closed_with_an_error(client)


def test_a_second_hello_is_refused(world):
    client = world.client()
    client.send(HELLO)
    assert closed_with_an_error(client)


@pytest.mark.parametrize("verb", [b"GET ", b"POST", b"PUT ", b"HEAD", b"OPTI", b"CONN"])
def test_an_http_request_is_hung_up_on(world, verb):
    client = world.client(greeted=False)
    client.session.receive(verb + b" / HTTP/1.1\r\n")
    assert client.outbox.closing


def test_a_stranger_gets_no_room_for_a_large_frame(world):
    stranger = world.client(greeted=False)
    stranger.session.receive(struct.pack(">I", codec.MAX_HELLO_BYTES + 1))
    assert closed_with_an_error(stranger)
    client = world.client()
    client.session.receive(struct.pack(">I", codec.MAX_FRAME_BYTES))
    assert not client.outbox.closing
    other = world.client()
    other.session.receive(struct.pack(">I", codec.MAX_FRAME_BYTES + 1))
    assert closed_with_an_error(other)


def test_a_refused_client_has_no_subscriptions_left(world):
    client = world.client()
    client.ask(Subscribe(2, 1, "t"))
    client.session.receive(struct.pack(">I", 1) + b"\xc1")
    assert world.broker.observers.route(parse_address("t")) == ()
    client.session.disconnected()


def test_every_cut_of_a_conversation_means_the_same():
    requests = [
        HELLO,
        Subscribe(2, 1, "a.>"),
        Publish(3, WireMessage("a.b", b"x" * 300, b"k", (("h", b"v"),))),
        ListTopics(4),
        Unsubscribe(5, 1),
    ]
    stream = b"".join(map(codec.frame, requests))
    expected = None
    for cut in range(len(stream) + 1):
        client = World().client(greeted=False)
        client.session.receive(stream[:cut])
        client.session.receive(stream[cut:])
        answers = [answer for answer in client.read() if not isinstance(answer, Delivered)]
        expected = expected or answers
        assert answers == expected
    assert len(expected) == 5


def test_a_frame_cut_short_is_waited_for():
    frame = codec.frame(ListTopics(2))
    for cut in range(len(frame)):
        reader = FrameReader(1000)
        reader.feed(frame[:cut])
        assert list(reader.frames()) == []


@settings(max_examples=150)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_no_bytes_make_a_session_raise(bodies):
    client = World().client()
    for body in bodies:
        client.session.receive(struct.pack(">I", len(body)) + body)
        client.session.receive(body)


NUMBERS = st.integers(-3, 3) | st.integers(-(2**63), 2**64 - 1)
NAMES = st.sampled_from(
    ["t", "a.b", "a.*", ">", "#", "a.#.b", "", ".", "\n", "__hubbub_state", "é"]
)
PLACES = st.lists(st.builds(Place, NAMES, NUMBERS, NUMBERS), max_size=3).map(tuple)
STARTS = st.sampled_from(["beginning", "new"]) | st.builds(FromOffset, NUMBERS)
STARTS |= st.builds(FromTime, NUMBERS)
SECONDS = st.floats(0, codec.MAX_WAIT_SECONDS)
COUNTS = st.integers(0, 2**31 - 1)
GROUPS = st.builds(
    Grouped, NAMES, STARTS, st.builds(GroupSettings, SECONDS, SECONDS, COUNTS, st.none() | NAMES)
)
SETTINGS = st.builds(
    TopicSettings,
    captures=st.lists(NAMES, max_size=2).map(tuple),
    retention_ms=NUMBERS,
    segment_bytes=NUMBERS,
    max_message_bytes=NUMBERS,
    compact=st.booleans(),
)
SOURCES = st.none() | st.builds(Replayed, STARTS, st.none() | PLACES) | GROUPS
REQUESTS = st.one_of(
    st.builds(Publish, NUMBERS, st.builds(WireMessage, NAMES, st.binary(max_size=5))),
    st.builds(Subscribe, NUMBERS, st.integers(0, 3), NAMES, SOURCES, COUNTS),
    st.builds(Unsubscribe, NUMBERS, st.integers(0, 3)),
    st.builds(Credit, st.integers(0, 3), COUNTS),
    st.builds(Ack, st.integers(0, 3), NUMBERS, NUMBERS),
    st.builds(Nack, st.integers(0, 3), NUMBERS, NUMBERS, st.none() | SECONDS),
    st.builds(codec.Extend, st.integers(0, 3), NUMBERS, NUMBERS, SECONDS),
    st.builds(CreateTopic, NUMBERS, NAMES, st.integers(-2, 4) | NUMBERS, st.none() | SETTINGS),
    st.builds(codec.DeleteTopic, NUMBERS, NAMES),
    st.builds(codec.DeleteSubscription, NUMBERS, NAMES, NAMES),
    st.builds(ListTopics, NUMBERS),
    st.builds(codec.ListSubscriptions, NUMBERS),
    st.builds(ListSubscribers, NUMBERS, NAMES),
)


@settings(max_examples=200)
@given(st.lists(REQUESTS, max_size=12))
def test_no_sequence_of_calls_makes_a_session_raise(requests):
    world = World()
    client = world.client()
    calls = [request.id for request in requests if not isinstance(request, codec.Notice)]
    client.send(*requests)
    world.pass_time(60.0)
    answers = [answer.id for answer in client.read() if not isinstance(answer, Delivered)]
    assert sorted(answers) == sorted(calls)
    client.session.disconnected()
    world.pass_time(60.0)


@settings(max_examples=100)
@given(
    st.builds(
        WireMessage,
        st.just("a.b"),
        st.none() | st.binary(max_size=50),
        st.none() | st.binary(max_size=10),
        st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5))).map(tuple),
        st.integers(-1, 253_402_300_799_999),
        st.none() | st.text(max_size=5),
        st.none() | st.text(max_size=5),
        st.none() | st.just("answers"),
        st.none() | st.binary(max_size=5),
        st.none() | st.integers(0, 10**12),
    )
)
def test_a_message_is_the_same_on_the_other_side(wire):
    raw = codec.raw_message(mapping.to_wire(mapping.from_wire(wire)))
    frame = codec.frame(Delivered(1, raw))
    delivered = codec.decode_response(frame[4:])
    assert codec.decode_message(delivered.message) == wire


def test_a_response_that_means_nothing_is_an_error():
    with pytest.raises(FrameError):
        codec.decode_response(b"\xc1")
    with pytest.raises(FrameError):
        codec.decode_message(msgspec.Raw(b"\x90"))


# Taking turns


def test_many_frames_at_once_leave_others_their_turn_and_are_answered_in_order(world):
    client = world.client()
    calls = [ListTopics(number) for number in range(3 * MAX_FRAMES_PER_TURN)]
    client.session.receive(b"".join(map(codec.frame, calls)))
    assert [answer.id for answer in client.read()] == list(range(MAX_FRAMES_PER_TURN))
    assert client.session.paused
    client.session.receive(codec.frame(ListTopics(len(calls))))
    assert client.read() == []
    world.pass_time()
    expected = list(range(MAX_FRAMES_PER_TURN, len(calls) + 1))
    assert [answer.id for answer in client.read()] == expected
    assert not client.session.paused


def test_the_server_looks_again_after_frames_that_have_no_answer(world):
    client = world.client()
    client.session.receive(codec.frame(Credit(1, 1)) * (MAX_FRAMES_PER_TURN + 1))
    client.looks.clear()
    world.pass_time()
    assert client.looks == [False]


def test_frames_beyond_what_may_be_under_way_are_left_until_there_is_room(world, monkeypatch):
    monkeypatch.setattr("hubbub.protocols.bus.session.MAX_UNANSWERED", 2)
    client = world.client()
    client.ask(CreateTopic(2, "t"))
    world.log.lazy = True
    client.send(*[Publish(number, WireMessage("t", b"x")) for number in (3, 4, 5)])
    assert client.session.paused
    world.log.sync()
    client.session.resume()
    world.pass_time()
    world.log.sync()
    assert [answer.id for answer in client.read()] == [3, 4, 5]


def test_a_client_that_has_gone_is_served_no_further(world):
    client = world.client()
    calls = [ListTopics(number) for number in range(2 * MAX_FRAMES_PER_TURN)]
    client.session.receive(b"".join(map(codec.frame, calls)))
    client.session.disconnected()
    world.pass_time()
    assert len(client.read()) == MAX_FRAMES_PER_TURN


# Groups and topics that come and go


def test_a_group_that_cannot_be_joined_everywhere_is_joined_nowhere(world, monkeypatch):
    client = world.client()
    client.ask(CreateTopic(2, "a.x"), CreateTopic(3, "a.y"))
    opened = world.broker.subscriptions.open

    def open_but_one(name, topic, *rest):
        if topic.name == "a.y":
            raise StorageError("no space left")
        return opened(name, topic, *rest)

    monkeypatch.setattr(world.broker.subscriptions, "open", open_but_one)
    (failed,) = client.ask(Subscribe(4, 1, "a.*", GROUP, 5))
    assert failed.error == "StorageError"
    assert [found.consumers for found in world.broker.subscriptions] == [[]]


def test_a_topic_that_cannot_be_joined_when_it_is_made_is_joined_later(world, monkeypatch):
    client = world.client()
    client.ask(Subscribe(2, 1, "a.*", GROUP, 5))

    def refuse(*_):
        raise StorageError("no space left")

    with monkeypatch.context() as full:
        full.setattr(world.broker.subscriptions, "open", refuse)
        assert client.ask(CreateTopic(3, "a.x")) == [Done(3)]
    world.publish("a.x", b"1")
    assert client.read() == []
    world.pass_time(1.0)
    assert client.values() == [b"1"]


def test_a_member_forgets_topics_that_were_deleted(world):
    worker = GroupWorker()
    pattern = parse_pattern("a.*")
    membership = Membership(world.broker, "g", pattern, "beginning", None, worker)
    for number in range(5):
        world.publish_to_new("a.x", b"%d" % number)
        assert len(membership._sources) == 1
        source, lease = worker.got[-1]
        assert membership.ack(source, lease)
        world.broker.delete_topic(world.broker.topics.get(parse_address("a.x")))
    assert len({source for source, _ in worker.got}) == 5


def test_a_position_in_a_topic_that_was_made_again_is_not_taken_over(world):
    client = world.client()
    client.ask(CreateTopic(2, "t"))
    world.publish("t", b"new")
    known = (Place("t", 0, 7),)
    (_, delivered) = client.ask(Subscribe(3, 1, "t", Replayed("new", known), 10))
    assert codec.decode_message(delivered.message).value == b"new"
