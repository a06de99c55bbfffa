"""Groups through the Python API: shared work, settling, retries and dead letters, on each backend."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bus_backends import BACKENDS, WAIT, Box, open_broker
from hubbub.model.errors import InvalidSettingsError, UnknownTopicError


@pytest.fixture(params=BACKENDS)
def broker(request, tmp_path):
    with open_broker(request.param, tmp_path) as opened:
        yield opened


def publish(broker, address, count):
    for pending in [broker.publish_soon(address, number) for number in range(count)]:
        pending.result(WAIT)


def wait_for_lag(broker, group, lag):
    """Acknowledgements are on their way for a moment; nothing announces that they have arrived."""
    for _ in range(10_000):
        if broker.lag(group) == lag:
            return
    pytest.fail(f"lag of {group} is {broker.lag(group)}")


def wait_for_messages(subscription, count):
    """Nothing announces what only lies there to be taken."""
    for _ in range(10_000):
        if len(subscription.mailbox) == count:
            return
        threading.Event().wait(0.001)
    pytest.fail(f"{len(subscription.mailbox)} messages have come")


def test_each_message_is_worked_on_by_one_member_and_the_work_is_spread(broker):
    done, shares = threading.Event(), [[] for _ in range(5)]

    def member(share):
        def work(message):
            share.append(message.json())
            if sum(map(len, shares)) == 500:
                done.set()

        return work

    for share in shares:
        broker.subscribe("jobs", member(share), group="workers")
    publish(broker, "jobs", 500)
    assert done.wait(WAIT)
    assert sorted(number for share in shares for number in share) == list(range(500))
    assert all(shares)


def test_every_group_gets_everything(broker):
    boxes = [Box(), Box()]
    for name, box in zip("ab", boxes, strict=True):
        broker.subscribe("t", box, group=name)
    publish(broker, "t", 10)
    for box in boxes:
        assert sorted(message.json() for message in box.take(10)) == list(range(10))


def test_a_group_catches_up_on_what_came_while_nobody_was_there(broker):
    broker.subscribe("t", group="g").unsubscribe()
    publish(broker, "t", 3)
    assert broker.lag("g") == 3
    box = Box()
    broker.subscribe("t", box, group="g")
    assert [message.json() for message in box.take(3)] == [0, 1, 2]
    wait_for_lag(broker, "g", 0)


def test_a_new_group_begins_where_it_is_told(broker):
    broker.create_topic("t")
    publish(broker, "t", 3)
    assert broker.subscribe("t", group="old", start="beginning").get(WAIT).offset == 0
    subscription = broker.subscribe("t", group="new")
    publish(broker, "t", 1)
    assert subscription.get(WAIT).offset == 3


def test_a_queue_holds_work_until_a_worker_comes(broker):
    broker.create_topic("jobs")
    publish(broker, "jobs", 4)
    one, other = (broker.subscribe("jobs", queue=True, window=2) for _ in range(2))
    got = [one.get(WAIT), one.get(WAIT), other.get(WAIT), other.get(WAIT)]
    assert sorted(message.json() for message in got) == [0, 1, 2, 3]


def test_a_handler_that_raises_gets_its_message_again(broker):
    attempts = Box()
    broker.on_error = lambda *_: None

    def work(message):
        attempts(message)
        if message.attempt < 3:
            raise RuntimeError

    broker.subscribe("t", work, group="g", retry_delay="1ms")
    publish(broker, "t", 1)
    assert [message.attempt for message in attempts.take(3)] == [1, 2, 3]
    wait_for_lag(broker, "g", 0)


def test_a_message_that_nobody_can_handle_becomes_a_dead_letter(broker):
    dead, stored, attempts = Box(), Box(), Box()
    broker.on_error = lambda *_: None
    broker.subscribe("dead.jobs", dead)

    def work(message):
        attempts(message)
        raise RuntimeError

    broker.subscribe(
        "jobs", work, group="g", retry_delay=0, max_deliveries=2, dead_letter="dead.jobs"
    )
    broker.publish("jobs", b"poison", headers={"a": "1"})
    (letter,) = dead.take(1)
    assert (letter.address, letter.value) == ("dead.jobs", b"poison")
    assert dict(letter.headers)["dead-letter-address"] == b"jobs"
    assert dict(letter.headers)["a"] == b"1"
    assert len(attempts.take(2)) == 2
    broker.subscribe("dead.jobs", stored, start="beginning")
    assert stored.values(1) == [b"poison"]
    wait_for_lag(broker, "g", 0)


def test_what_is_not_settled_in_time_goes_to_another_member(broker):
    slow = broker.subscribe("t", group="g", ack_deadline="10ms", window=1)
    publish(broker, "t", 1)
    message = slow.get(WAIT)
    again = slow.get(WAIT)
    assert (again.offset, again.attempt) == (message.offset, 2)


def test_extending_keeps_a_message(broker):
    subscription = broker.subscribe("t", group="g", ack_deadline="50ms", window=2)
    publish(broker, "t", 1)
    message = subscription.get(WAIT)
    message.extend(60)
    with pytest.raises(TimeoutError):
        subscription.get(0.15)
    message.ack()
    wait_for_lag(broker, "g", 0)


def test_what_is_given_back_comes_again_after_its_delay(broker):
    subscription = broker.subscribe("t", group="g", window=2)
    publish(broker, "t", 2)
    first, second = subscription.get(WAIT), subscription.get(WAIT)
    first.nack(delay=0.001)
    first.ack()  # too late: it is settled already
    second.ack()
    again = subscription.get(WAIT)
    assert (again.offset, again.attempt) == (first.offset, 2)
    assert broker.lag("g") == 1


def test_a_wait_is_no_negative_number(broker):
    subscription = broker.subscribe("t", group="g")
    publish(broker, "t", 1)
    message = subscription.get(WAIT)
    with pytest.raises(InvalidSettingsError):
        message.nack(delay=-1)
    with pytest.raises(InvalidSettingsError):
        message.extend(float("nan"))
    with pytest.raises(InvalidSettingsError):
        broker.subscribe("t", group="h", ack_deadline=-1)


def test_leaving_gives_back_what_is_held(broker):
    leaves = broker.subscribe("t", group="g", window=2)
    publish(broker, "t", 2)
    held = [leaves.get(WAIT), leaves.get(WAIT)]
    stays = broker.subscribe("t", group="g", window=4)
    leaves.unsubscribe()
    got = [stays.get(WAIT), stays.get(WAIT)]
    assert sorted(m.offset for m in got) == sorted(m.offset for m in held)
    held[0].ack()  # a lease that is gone settles nothing
    assert broker.lag("g") == 2


def test_coming_back_for_the_next_message_settles_the_last(broker):
    subscription = broker.subscribe("t", group="g")
    publish(broker, "t", 3)
    for message in subscription:
        if message.json() == 2:
            break
    wait_for_lag(broker, "g", 1)
    subscription.unsubscribe()
    assert broker.subscribe("t", group="g").get(WAIT).json() == 2


def test_without_auto_ack_the_program_settles(broker):
    kept = Box()
    broker.subscribe("t", kept, group="g", auto_ack=False)
    publish(broker, "t", 1)
    (message,) = kept.take(1)
    assert broker.lag("g") == 1
    message.ack()
    wait_for_lag(broker, "g", 0)


def test_no_more_than_the_window_is_on_its_way(broker):
    subscription = broker.subscribe("t", group="g", window=3)
    publish(broker, "t", 10)
    wait_for_messages(subscription, 3)  # before there is anybody else
    other = broker.subscribe("t", group="g", window=100)
    assert {other.get(WAIT).json() for _ in range(7)} == set(range(3, 10))
    assert [subscription.get(WAIT).json() for _ in range(3)] == [0, 1, 2]


def test_a_group_over_a_pattern_works_on_topics_made_later_too(broker):
    broker.create_topic("jobs.a")
    broker.create_topic("other")
    box = Box()
    broker.subscribe("jobs.*", box, group="g")
    broker.create_topic("jobs.b")
    for address in ("jobs.a", "jobs.b", "other"):
        broker.publish(address, address)
    assert sorted(message.text for message in box.take(2)) == ["jobs.a", "jobs.b"]
    assert {info.topic for info in broker.subscriptions()} == {"jobs.a", "jobs.b"}


def test_groups_are_listed_with_members_and_lag_and_deleted(broker):
    subscription = broker.subscribe("t", group="g")
    publish(broker, "t", 2)
    (info,) = broker.subscriptions()
    assert (info.kind, info.name, info.topic, info.lag) == ("shared", "g", "t", 2)
    assert len(info.members) == 1
    assert [who.subscription for who in broker.subscribers("t")] == ["g"]
    with pytest.raises(InvalidSettingsError, match="has members"):
        broker.delete_subscription("g", "t")
    subscription.unsubscribe()
    broker.delete_subscription("g", "t")
    assert broker.subscriptions() == []
    with pytest.raises(UnknownTopicError):
        broker.delete_subscription("g", "t")


def test_an_async_member_settles_when_it_is_done(broker):
    box = Box()

    async def work(message):
        box(message)

    broker.subscribe("t", work, group="g")
    publish(broker, "t", 5)
    assert [message.json() for message in box.take(5)] == list(range(5))
    wait_for_lag(broker, "g", 0)


def test_a_handler_may_publish_to_a_stored_address(broker):
    """It waits for the disk, or the network, in a thread that nobody else needs."""
    broker.create_topic("out")
    broker.subscribe(
        "in", lambda message: broker.publish("out", message.json()) and None, group="g"
    )
    publish(broker, "in", 20)
    results = broker.subscribe("out", start="beginning", limit=20)
    assert sorted(message.json() for message in results) == list(range(20))


def test_a_slow_handler_holds_up_nobody_else(broker):
    release, quick = threading.Event(), Box()
    broker.subscribe("t", lambda _: release.wait(WAIT) and None, group="slow")
    broker.subscribe("t", quick, group="quick")
    publish(broker, "t", 10)
    assert len(quick.take(10)) == 10
    release.set()


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit])
@pytest.mark.parametrize("is_async", [False, True])
def test_whatever_a_handler_raises_is_reported_and_its_message_comes_again(broker, error, is_async):
    box, reports = Box(), []
    broker.on_error = lambda raised, *_: reports.append(type(raised))

    def work(message):
        if message.attempt == 1:
            raise error
        box(message)

    async def work_in_loop(message):
        work(message)

    handler = work_in_loop if is_async else work
    broker.subscribe("t", handler, group="g", retry_delay="1ms")
    publish(broker, "t", 2)
    assert sorted(message.json() for message in box.take(2)) == [0, 1]
    assert reports == [error, error]


def test_an_answer_that_cannot_be_sent_does_not_end_the_subscription(broker):
    box = Box()

    def work(message):
        box(message)
        return object()

    broker.create_topic("t")
    broker.subscribe("t", work, start="beginning")
    for _ in range(2):
        broker.publish("t", 1, reply_to="answers")
    assert len(box.take(2)) == 2


def test_handlers_that_wait_for_each_other_all_get_on():
    count = 40
    with open_broker("memory", None) as broker:
        meeting = threading.Barrier(count + 1)
        for number in range(count):
            broker.subscribe("t", lambda _: meeting.wait(WAIT) and None, group=str(number))
        publish(broker, "t", 1)
        meeting.wait(WAIT)


def test_threads_without_work_end(monkeypatch):
    monkeypatch.setattr("hubbub.bus.handlers.IDLE_SECONDS", 0.0)
    threads = []
    with open_broker("memory", None) as broker:
        box = Box()

        def work(message):
            threads.append(threading.current_thread())
            box(message)

        broker.subscribe("t", work, group="g")
        for number in range(3):
            publish(broker, "t", 1)
            box.take(1)
            threads[number].join(WAIT)
            assert not threads[number].is_alive()
