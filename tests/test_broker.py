"""The facade over the memory engine: live delivery, storing, dead letters and who may do what."""

from __future__ import annotations

import uuid

import pytest

from hubbub.broker.broker import Broker
from hubbub.broker.config import BrokerConfig
from hubbub.broker.cursor import CursorState
from hubbub.broker.observer import Subscriber
from hubbub.broker.shared import MAX_HELD_BYTES, Delivery, SharedSettings
from hubbub.broker.state import StateLog
from hubbub.broker.tail import FromOffset, FromTime, Tail
from hubbub.broker.timers import Timers
from hubbub.log.batch import encode
from hubbub.log.hashing import murmur2
from hubbub.log.memory import MemoryLog
from hubbub.log.reader import read_all
from hubbub.model.address import parse_address
from hubbub.model.errors import (
    DeniedError,
    InvalidSettingsError,
    MessageTooLargeError,
    MissingKeyError,
    StorageError,
    TopicExistsError,
)
from hubbub.model.message import Message
from hubbub.model.pattern import parse_pattern
from hubbub.model.settings import TopicSettings


class Recorder:
    def __init__(self, principal: str = "") -> None:
        self.subscriber = Subscriber("test", "recorder", principal)
        self.got: list[Message] = []

    def observe(self, message: Message) -> None:
        self.got.append(message)

    @property
    def values(self) -> list[bytes | None]:
        return [message.value for message in self.got]


class Worker:
    """A consumer of a shared subscription with room for ``credit`` messages."""

    def __init__(self, credit: int = 100, principal: str = "") -> None:
        self.subscriber = Subscriber("test", "worker", principal)
        self.room = credit
        self.got: list[Delivery] = []

    @property
    def credit(self) -> int:
        return self.room - len(self.got)

    def deliver(self, delivery: Delivery) -> None:
        self.got.append(delivery)

    @property
    def values(self) -> list[bytes | None]:
        return [delivery.record.message.value for delivery in self.got]


class World:
    """A broker and the hand that moves its clock."""

    def __init__(self, log: MemoryLog | None = None, **config: object) -> None:
        self.log = log or MemoryLog()
        self.timers = Timers(0.0, 1_700_000_000_000)
        self.broker = Broker(self.log, self.timers, BrokerConfig(**config))

    def pass_time(self, seconds: float = 0.0) -> None:
        """Move on, and let everything that follows from it happen."""
        start, wall = self.timers.now, self.timers.wall_ms
        self.timers.advance(start + seconds, wall + int(seconds * 1000))
        while (due := self.timers.next_due()) is not None and due <= self.timers.now:
            self.timers.advance(self.timers.now, self.timers.wall_ms)

    def publish(self, address: str, *values: bytes, key: bytes | None = None):
        return [
            self.broker.publish(Message(parse_address(address), value, key)) for value in values
        ][-1]

    def stored(self, name: str) -> list[bytes | None]:
        topic = self.broker.topics.get(parse_address(name))
        return [record.value for part in topic.partitions for record in read_all(part.log)]


@pytest.fixture
def world():
    return World()


def test_every_observer_whose_pattern_matches_gets_the_message_once(world):
    everyone, eu, other = Recorder(), Recorder(), Recorder()
    world.broker.subscribe(parse_pattern("orders.>"), everyone)
    world.broker.subscribe(parse_pattern("orders.eu"), eu)
    world.broker.subscribe(parse_pattern("payments"), other)
    assert world.publish("orders.eu", b"1").observers == 2
    assert world.publish("orders.us", b"2").observers == 1
    assert (everyone.values, eu.values, other.values) == ([b"1", b"2"], [b"1"], [])


@pytest.mark.parametrize("count", [1, 10, 100, 1000])
def test_n_subscribers_each_receive_every_message(world, count):
    observers = [Recorder() for _ in range(count)]
    for observer in observers:
        world.broker.subscribe(parse_pattern("t"), observer)
    for number in range(10):
        world.publish("t", b"%d" % number)
    expected = [b"%d" % number for number in range(10)]
    assert all(observer.values == expected for observer in observers)


def test_an_observer_that_left_gets_nothing_more_and_the_others_everything(world):
    stays, leaves = Recorder(), Recorder()
    for observer in (stays, leaves):
        world.broker.subscribe(parse_pattern("t"), observer)
    world.publish("t", b"1")
    world.broker.unsubscribe(parse_pattern("t"), leaves)
    world.publish("t", b"2")
    assert (stays.values, leaves.values) == ([b"1", b"2"], [b"1"])


def test_a_message_is_stored_before_observers_see_it(world):
    world.broker.create_topic(parse_address("t"))
    seen = []

    class Looks(Recorder):
        def observe(self, message: Message) -> None:
            seen.append(world.stored("t"))

    world.broker.subscribe(parse_pattern("t"), Looks())
    world.publish("t", b"1")
    assert seen == [[b"1"]]


def test_nothing_is_kept_where_no_topic_captures_the_address(world):
    publication = world.publish("live.only", b"1")
    done = []
    publication.when_durable(done.append)
    assert publication.stored == ()
    assert done == [None]


def test_a_topic_remembers_what_its_patterns_capture_with_its_address(world):
    audit = world.broker.create_topic(
        parse_address("audit"), settings=TopicSettings(captures=("orders.>",))
    )
    world.publish("orders.eu", b"1")
    world.publish("other", b"2")
    assert world.stored("audit") == [b"1"]
    records = world.broker.decode(audit.partitions[0].log.read(0, 1000), audit.partitions[0])
    assert [record.message.address for record in records] == ["orders.eu"]


def test_a_topic_that_captures_an_address_twice_remembers_a_message_once(world):
    world.broker.create_topic(parse_address("orders.eu"))
    world.broker.create_topic(
        parse_address("audit"), settings=TopicSettings(captures=("orders.>", "orders.*"))
    )
    world.publish("orders.eu", b"1")
    assert world.stored("audit") == [b"1"]


def test_an_address_header_that_a_client_made_up_is_not_believed(world):
    topic = world.broker.create_topic(parse_address("t"))
    spoof = encode([(0, None, b"v", (("hubbub-address", b"secret.place"),))])
    watcher = Recorder()
    world.broker.subscribe(parse_pattern("secret.>"), watcher)
    world.broker.append(topic.partitions[0], spoof)
    records = world.broker.decode(topic.partitions[0].log.read(0, 1000), topic.partitions[0])
    assert [record.message.address for record in records] == ["t"]
    assert watcher.got == []


def test_a_batch_reaches_observers_and_the_other_topics_that_capture_it(world):
    home = world.broker.create_topic(parse_address("orders.new"))
    world.broker.create_topic(
        parse_address("audit"), settings=TopicSettings(captures=("orders.*",))
    )
    watcher = Recorder()
    world.broker.subscribe(parse_pattern("orders.*"), watcher)
    publication = world.broker.append(
        home.partitions[0], encode([(5, b"k", b"1", (("h", b"x"),)), (6, None, b"2", ())])
    )
    assert watcher.values == [b"1", b"2"]
    assert watcher.got[0].key == b"k"
    assert watcher.got[0].headers == (("h", b"x"),)
    assert world.stored("audit") == [b"1", b"2"]
    assert (publication.stored[0].topic, publication.stored[0].base_offset) == ("orders.new", 0)


def test_equal_keys_share_kafkas_partition_and_their_order(world):
    topic = world.broker.create_topic(parse_address("t"), 5)
    for number in range(50):
        world.publish("t", b"%d" % number, key=b"key%d" % (number % 7))
    for key in range(7):
        name = b"key%d" % key
        at = (murmur2(name) & 0x7FFFFFFF) % 5
        found = [r.value for r in read_all(topic.partitions[at].log) if r.key == name]
        assert found == [b"%d" % number for number in range(50) if number % 7 == key]


@pytest.mark.parametrize("name", ["__consumer_offsets", "__hubbub_state", "__transaction_state"])
def test_the_brokers_own_names_are_closed_to_everyone(world, name):
    with pytest.raises(DeniedError):
        world.publish(name, b"x")
    with pytest.raises(DeniedError):
        world.broker.create_topic(parse_address(name))
    with pytest.raises(InvalidSettingsError):
        world.broker.create_topic(parse_address("t"), settings=TopicSettings(captures=(name,)))


class NoSecrets:
    """Nobody but "root" may do anything with addresses below ``secret``."""

    def may(self, principal, action, target) -> bool:
        return principal == "root" or not str(target).startswith("secret")


def test_access_is_asked_at_subscribe_at_publish_and_at_each_delivery():
    broker = Broker(MemoryLog(), Timers(), access=NoSecrets())
    nobody, root = Recorder(), Recorder("root")
    with pytest.raises(DeniedError):
        broker.subscribe(parse_pattern("secret.x"), nobody)
    broker.subscribe(parse_pattern("#"), nobody)
    broker.subscribe(parse_pattern("#"), root)
    message = Message(parse_address("secret.x"), b"1")
    with pytest.raises(DeniedError):
        broker.publish(message)
    assert broker.publish(message, "root").observers == 1
    assert (nobody.values, root.values) == ([], [b"1"])


def test_a_group_member_gets_only_what_it_may_receive():
    timers = Timers()
    broker = Broker(MemoryLog(), timers, access=NoSecrets())
    box = broker.create_topic(parse_address("box"), settings=TopicSettings(captures=("secret.>",)))
    subscription = broker.subscriptions.open("work", box)
    nobody, root = Worker(), Worker(principal="root")
    subscription.join(nobody)
    for address in ("secret.x", "box"):
        broker.publish(Message(parse_address(address), address.encode()), "root")
    for moment in range(1, 5):
        timers.advance(moment, 0)
    assert nobody.values == [b"box"]
    subscription.join(root)
    for moment in range(5, 100):
        timers.advance(moment, 0)
    assert b"secret.x" in root.values
    assert b"secret.x" not in nobody.values


def test_a_keyless_record_has_no_place_in_a_compacted_topic(world):
    topic = world.broker.create_topic(parse_address("t"), settings=TopicSettings(compact=True))
    with pytest.raises(MissingKeyError):
        world.broker.append(topic.partitions[0], encode([(0, None, b"v", ())]))
    world.broker.append(topic.partitions[0], encode([(0, b"k", b"v", ())]))
    assert world.stored("t") == [b"v"]


def test_topics_and_where_everyone_stood_are_there_after_a_restart(world):
    topic = world.broker.create_topic(parse_address("t"), 3, TopicSettings(retention_ms=-1))
    world.publish("t", *(b"%d" % number for number in range(10)), key=b"k")
    subscription = world.broker.subscriptions.open("work", topic, "beginning")
    worker = Worker()
    subscription.join(worker)
    world.pass_time()
    for delivery in worker.got[:4]:
        subscription.ack(delivery.lease)
    world.pass_time()
    again = World(world.log)
    found = again.broker.topics.get(parse_address("t"))
    assert (found.id, len(found.partitions), found.settings) == (topic.id, 3, topic.settings)
    assert again.broker.cluster_id == world.broker.cluster_id
    restored = again.broker.subscriptions.get("work", found)
    assert restored.lag == 6
    other = Worker()
    restored.join(other)
    again.pass_time()
    assert other.values == worker.values[4:]


def test_a_deleted_topic_is_gone_and_its_name_is_free(world):
    topic = world.broker.create_topic(parse_address("t"))
    world.publish("t", b"old")
    world.broker.subscriptions.open("work", topic)
    world.broker.delete_topic(topic)
    assert world.broker.topics.get(parse_address("t")) is None
    assert world.broker.topics.by_id(topic.id) is None
    assert list(world.broker.subscriptions) == []
    again = world.broker.create_topic(parse_address("t"))
    assert again.id != topic.id
    assert world.stored("t") == []


def test_a_second_topic_of_the_same_name_is_refused(world):
    world.broker.create_topic(parse_address("t"))
    with pytest.raises(TopicExistsError):
        world.broker.create_topic(parse_address("t"))


def test_producer_ids_are_never_given_twice_not_even_after_a_crash(world):
    given = {world.broker.identity.allocate_producer_id() for _ in range(1500)}
    again = World(world.log)
    given_later = {again.broker.identity.allocate_producer_id() for _ in range(10)}
    assert len(given) == 1500
    assert not given & given_later


def test_a_reader_from_the_past_gets_history_and_then_what_comes(world):
    topic = world.broker.create_topic(parse_address("t"))
    world.publish("t", b"1", b"2")
    got = []

    def take(record):
        got.append((record.offset, record.message.value))
        return True

    tail = Tail(topic.partitions[0], 1, take, world.timers, world.broker.decode)
    world.pass_time()
    world.publish("t", b"3")
    world.pass_time()
    assert got == [(1, b"2"), (2, b"3")]
    tail.close()
    world.publish("t", b"4")
    world.pass_time()
    assert len(got) == 2


def test_a_reader_that_has_enough_goes_on_where_it_stopped(world):
    topic = world.broker.create_topic(parse_address("t"))
    world.publish("t", b"1", b"2", b"3")
    got, room = [], [1]

    def take(record):
        if not room[0]:
            return False
        room[0] -= 1
        got.append(record.message.value)
        return True

    tail = Tail(topic.partitions[0], 0, take, world.timers, world.broker.decode)
    world.pass_time()
    assert got == [b"1"]
    room[0] = 10
    tail.resume()
    world.pass_time()
    assert got == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("beginning", [b"1", b"2", b"3"]),
        (FromOffset(1), [b"2", b"3"]),
        (FromTime(1_700_000_005_000), [b"3"]),
        (FromTime(1_900_000_000_000), []),
        ("new", []),
    ],
)
def test_a_subscription_starts_where_it_is_told(world, start, expected):
    topic = world.broker.create_topic(parse_address("t"))
    world.publish("t", b"1", b"2")
    world.pass_time(10)
    world.publish("t", b"3")
    worker = Worker()
    world.broker.subscriptions.open("s", topic, start).join(worker)
    world.pass_time()
    assert worker.values == expected


def open_work(world, values=(), **settings):
    topic = world.broker.create_topic(parse_address("work"))
    subscription = world.broker.subscriptions.open(
        "workers", topic, settings=SharedSettings(**settings)
    )
    if values:
        world.publish("work", *values)
    return subscription


def test_each_message_goes_to_one_worker_and_the_load_is_even(world):
    subscription = open_work(world, [b"%d" % number for number in range(100)])
    workers = [Worker() for _ in range(4)]
    for worker in workers:
        subscription.join(worker)
    world.pass_time()
    everything = [value for worker in workers for value in worker.values]
    assert sorted(everything, key=int) == [b"%d" % number for number in range(100)]
    assert {len(worker.got) for worker in workers} == {25}


def test_a_worker_without_room_gets_nothing_until_it_has_some(world):
    subscription = open_work(world, [b"1", b"2", b"3"])
    worker = Worker(credit=2)
    subscription.join(worker)
    world.pass_time()
    assert worker.values == [b"1", b"2"]
    worker.room = 3
    subscription.dispatch()
    world.pass_time()
    assert worker.values == [b"1", b"2", b"3"]


def test_what_is_not_acknowledged_in_time_is_delivered_again(world):
    subscription = open_work(world, [b"1", b"2"], ack_deadline=10)
    worker = Worker()
    subscription.join(worker)
    world.pass_time()
    assert subscription.ack(worker.got[0].lease)
    world.pass_time(10)
    assert worker.values == [b"1", b"2", b"2"]
    assert worker.got[-1].attempt == 2
    assert not subscription.ack(worker.got[1].lease)
    assert subscription.ack(worker.got[2].lease)
    assert subscription.lag == 0


def test_an_extended_lease_lasts_longer(world):
    subscription = open_work(world, [b"1"], ack_deadline=10)
    worker = Worker()
    subscription.join(worker)
    world.pass_time()
    assert subscription.extend(worker.got[0].lease, 100)
    world.pass_time(50)
    assert worker.values == [b"1"]
    world.pass_time(50)
    assert worker.values == [b"1", b"1"]


def test_a_refused_message_comes_again_after_its_delay(world):
    subscription = open_work(world, [b"1"], retry_delay=5)
    worker = Worker()
    subscription.join(worker)
    world.pass_time()
    assert subscription.nack(worker.got[0].lease)
    world.pass_time(4)
    assert len(worker.got) == 1
    world.pass_time(1)
    assert [delivery.attempt for delivery in worker.got] == [1, 2]


def test_what_nobody_can_handle_goes_to_the_dead_letters_once(world):
    subscription = open_work(world, [b"bad"], max_deliveries=2, dead_letter=parse_address("dead"))
    worker = Worker()
    subscription.join(worker)
    for _ in range(2):
        world.pass_time()
        subscription.nack(worker.got[-1].lease)
    world.pass_time(100)
    assert len(worker.got) == 2
    assert world.stored("dead") == [b"bad"]
    assert subscription.lag == 0
    dead = world.broker.topics.get(parse_address("dead"))
    headers = next(iter(read_all(dead.partitions[0].log))).headers
    assert dict(headers)["dead-letter-address"] == b"work"


def test_what_a_worker_held_when_it_left_goes_to_the_others_in_order(world):
    subscription = open_work(world, [b"1", b"2", b"3"])
    leaves, stays = Worker(), Worker()
    subscription.join(leaves)
    world.pass_time()
    subscription.join(stays)
    subscription.leave(leaves)
    world.pass_time()
    assert stays.values == [b"1", b"2", b"3"]
    assert [delivery.attempt for delivery in stays.got] == [2, 2, 2]


def test_messages_wait_in_the_log_while_nobody_listens(world):
    subscription = open_work(world, [b"1"])
    worker = Worker()
    subscription.join(worker)
    world.pass_time()
    subscription.leave(worker)
    world.publish("work", b"2")
    assert subscription.lag == 2
    late = Worker()
    subscription.join(late)
    world.pass_time()
    assert late.values == [b"1", b"2"]


def test_a_subscription_follows_partitions_added_later(world):
    topic = world.broker.create_topic(parse_address("t"))
    subscription = world.broker.subscriptions.open("s", topic)
    worker = Worker()
    subscription.join(worker)
    world.broker.topics.add_partitions(topic, 4)
    for number in range(20):
        world.publish("t", b"%d" % number, key=uuid.uuid4().bytes)
    world.pass_time()
    assert sorted(worker.values, key=int) == [b"%d" % number for number in range(20)]


def test_retention_is_applied_from_time_to_time(world):
    topic = world.broker.create_topic(
        parse_address("t"), settings=TopicSettings(retention_ms=60_000, segment_ms=1000)
    )
    world.publish("t", b"old")
    world.pass_time(100)
    world.publish("t", b"new")
    world.pass_time(600)
    assert topic.partitions[0].log.start_offset >= 1


def test_a_floor_follows_what_the_log_forgets(world):
    """Retention and DeleteRecords take messages away below a subscription."""
    topic = world.broker.create_topic(parse_address("work"))
    subscription = world.broker.subscriptions.open("workers", topic)
    world.publish("work", *(b"%d" % number for number in range(100)))
    topic.partitions[0].log.truncate_before(60)
    worker = Worker()
    subscription.join(worker)
    world.pass_time()
    for delivery in worker.got:
        subscription.ack(delivery.lease)
    assert len(worker.got) == 40
    assert subscription.cursors[0].state == CursorState(100)
    assert subscription.lag == 0


def test_a_subscription_holds_a_bounded_number_of_bytes_whatever_the_credit(world):
    topic = world.broker.create_topic(parse_address("work"))
    subscription = world.broker.subscriptions.open("workers", topic)
    for _ in range(200):
        world.publish("work", b"x" * 500_000)
    worker = Worker(credit=1)
    subscription.join(worker)
    world.pass_time()
    assert subscription._held_bytes <= MAX_HELD_BYTES
    for number in range(200):
        subscription.ack(worker.got[number].lease)
        worker.room += 1
        subscription.dispatch()
        world.pass_time()
    assert len(worker.got) == 200
    assert subscription._held_bytes == 0


def test_a_message_that_ends_every_worker_becomes_a_dead_letter(world):
    subscription = open_work(
        world, [b"poison"], max_deliveries=2, dead_letter=parse_address("dead")
    )
    for _ in range(5):
        worker = Worker()
        subscription.join(worker)
        world.pass_time()
        subscription.leave(worker)
        world.pass_time()
    assert world.stored("dead") == [b"poison"]
    assert subscription.lag == 0


def test_a_cursor_ahead_of_the_log_comes_back_to_its_end(world):
    """What was settled and not synced may be gone after a power cut; what comes then is new."""
    state = CursorState(100, ((105, 110),), ((101, 2),))
    assert state.before(50) == CursorState(50)
    assert state.before(107) == CursorState(100, ((105, 107),), ((101, 2),))


def test_state_of_any_size_is_stored(world):
    state = StateLog(
        world.broker.topics.get(parse_address("__hubbub_state")).partitions[0].log,
        world.timers,
        b"t",
    )
    pairs = [(b"%d" % number, b"x" * 1000) for number in range(5000)]
    state.put(*pairs)
    assert state.load() == dict(pairs)


def test_a_subscription_has_a_name_of_sane_length(world):
    topic = world.broker.create_topic(parse_address("t"))
    with pytest.raises(InvalidSettingsError):
        world.broker.subscriptions.open("x" * 300, topic)


def test_a_topic_that_refuses_a_copy_refuses_only_that(world):
    """The topic of that name decides whether a message is taken."""
    home = world.broker.create_topic(parse_address("orders.new"))
    world.broker.create_topic(
        parse_address("small"),
        settings=TopicSettings(captures=("orders.>",), max_message_bytes=200),
    )
    watcher = Recorder()
    world.broker.subscribe(parse_pattern("orders.new"), watcher)
    world.publish("orders.new", b"x" * 500)
    world.broker.append(home.partitions[0], encode([(0, None, b"y" * 500, ())]))
    world.publish("orders.new", b"z")
    assert len(world.stored("orders.new")) == 3
    assert world.stored("small") == [b"z"]
    assert len(watcher.got) == 3


def test_a_refusal_by_the_home_topic_leaves_no_copy_anywhere(world):
    world.broker.create_topic(
        parse_address("orders.new"), settings=TopicSettings(max_message_bytes=200)
    )
    world.broker.create_topic(parse_address("all"), settings=TopicSettings(captures=("orders.>",)))
    watcher = Recorder()
    world.broker.subscribe(parse_pattern("orders.new"), watcher)
    with pytest.raises(MessageTooLargeError):
        world.publish("orders.new", b"x" * 500)
    assert world.stored("all") == []
    assert watcher.got == []


def test_partitions_are_limited_for_the_whole_broker():
    world = World(max_partitions=10)
    world.broker.create_topic(parse_address("a"), 6)
    with pytest.raises(InvalidSettingsError):
        world.broker.create_topic(parse_address("b"), 6)
    with pytest.raises(InvalidSettingsError):
        world.broker.topics.add_partitions(world.broker.topics.get(parse_address("a")), 12)


def test_a_topic_whose_files_cannot_be_opened_is_no_topic(world, monkeypatch):
    opened = world.log.open

    def refuse(number, partition, settings):
        if partition == 3:
            raise StorageError("too many open files")
        return opened(number, partition, settings)

    monkeypatch.setattr(world.log, "open", refuse)
    with pytest.raises(StorageError):
        world.broker.create_topic(parse_address("t"), 5)
    monkeypatch.undo()
    assert world.broker.topics.get(parse_address("t")) is None
    assert World(world.log).broker.topics.get(parse_address("t")) is None
    assert len(world.broker.create_topic(parse_address("t"), 5).partitions) == 5


def test_who_follows_new_topics_cannot_keep_them_from_being_made(world, caplog):
    told = []
    world.broker.topics.watch(lambda topic: 1 // 0)
    world.broker.topics.watch(told.append)
    topic = world.broker.create_topic(parse_address("t"))
    assert told == [topic]
    assert "ZeroDivisionError" in caplog.text
