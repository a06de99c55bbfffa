"""The Python API: the same behaviour in memory, in a directory and connected to a server."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
from datetime import UTC, datetime, timedelta

import pytest

from bus_backends import BACKENDS, WAIT, Box, open_broker
from hubbub import (
    ClosedError,
    HubbubError,
    NoRespondersError,
    Published,
)
from hubbub.model.errors import (
    DeniedError,
    InvalidAddressError,
    InvalidSettingsError,
    MessageTooLargeError,
    TopicExistsError,
    UnknownTopicError,
)
from hubbub.model.settings import TopicSettings


@pytest.fixture(params=BACKENDS)
def broker(request, tmp_path):
    with open_broker(request.param, tmp_path) as opened:
        yield opened


# Live


@pytest.mark.parametrize("count", [1, 10, 100])
def test_every_subscriber_gets_every_message_in_order(broker, count):
    boxes = [Box() for _ in range(count)]
    for box in boxes:
        broker.subscribe("orders.new", box)
    for number in range(20):
        assert broker.publish("orders.new", b"%d" % number).observers == count
    expected = [b"%d" % number for number in range(20)]
    assert [box.values(20) for box in boxes] == [expected] * count


def test_a_pattern_gets_what_it_matches_and_nothing_else(broker):
    one, many = Box(), Box()
    broker.subscribe("orders.*", one)
    broker.subscribe("orders.>", many)
    for address in ("orders.a", "orders.a.b", "orders", "payments.a"):
        broker.publish(address, address.encode())
    broker.publish("orders.end", b"end")
    assert one.values(2) == [b"orders.a", b"end"]
    assert many.values(3) == [b"orders.a", b"orders.a.b", b"end"]


def test_publishing_to_nobody_succeeds(broker):
    assert broker.publish("nobody.listens", b"x") == Published(0, ())


def test_after_unsubscribe_nothing_comes_and_the_others_lose_nothing(broker):
    stays, leaves = Box(), Box()
    broker.subscribe("t", stays)
    subscription = broker.subscribe("t", leaves)
    broker.publish("t", b"1")
    assert leaves.values(1) == [b"1"]
    broker.unsubscribe(subscription)
    broker.publish("t", b"2")
    assert stays.values(2) == [b"1", b"2"]
    assert leaves.is_empty()
    subscription.unsubscribe()  # once more is harmless


def test_subscribers_come_and_go_without_disturbing_the_publisher(broker):
    box = Box()
    broker.subscribe("t", box)
    for number in range(50):
        with broker.subscribe("t"):
            broker.publish("t", b"%d" % number)
    assert box.values(50) == [b"%d" % number for number in range(50)]


def test_an_observer_that_raises_stops_nobody_and_is_reported(broker):
    failures, box = queue.Queue(), Box()
    broker.on_error = lambda *report: failures.put(report)

    def fail(message):
        raise RuntimeError(message.text)

    failing = broker.subscribe("t", fail)
    broker.subscribe("t", box)
    broker.publish("t", "boom")
    assert box.values(1) == [b"boom"]
    error, message, subscription = failures.get(timeout=WAIT)
    assert (str(error), message.address, subscription) == ("boom", "t", failing)


def test_without_a_hook_the_error_is_logged(broker, caplog):
    failed = threading.Event()

    def fail(_message):
        failed.set()
        raise RuntimeError("boom")

    broker.subscribe("t", fail)
    broker.publish("t", b"x")
    assert failed.wait(WAIT)
    broker.close()
    assert [record.name for record in caplog.records] == ["hubbub"]
    assert "boom" in caplog.text


def test_a_handler_may_unsubscribe_itself_and_subscribe_others(broker):
    later, seen = Box(), Box()

    def once(message):
        subscription.unsubscribe()
        broker.subscribe("t", later)
        seen(message)

    subscription = broker.subscribe("t", once)
    broker.publish("t", b"1")
    assert seen.values(1) == [b"1"]
    broker.publish("t", b"2")
    assert later.values(1) == [b"2"]
    assert seen.is_empty()


def test_a_handler_may_publish_to_its_own_address(broker):
    box = Box()

    def count_down(message):
        box(message)
        if message.json():
            broker.publish("t", message.json() - 1)

    broker.subscribe("t", count_down)
    broker.publish("t", 5)
    assert [message.json() for message in box.take(6)] == [5, 4, 3, 2, 1, 0]


def test_a_decorated_function_handles_and_stays_a_function(broker):
    box = Box()

    @broker.subscribe("orders.*")
    def handle(message):
        box(message)

    assert handle.__name__ == "handle"
    broker.publish("orders.new", b"x")
    assert box.values(1) == [b"x"]


def test_a_subscription_is_iterated_over_from_where_it_was_made(broker):
    subscription = broker.subscribe("t", limit=3)
    for number in range(5):
        broker.publish("t", number)
    assert [message.json() for message in subscription] == [0, 1, 2]
    assert subscription.closed


def test_a_limit_ends_a_handler_too(broker):
    box, all_of_them = Box(), Box()
    broker.subscribe("t", box, limit=2)
    broker.subscribe("t", all_of_them)
    for number in range(4):
        broker.publish("t", b"%d" % number)
    assert box.values(2) == [b"0", b"1"]
    all_of_them.take(4)
    assert box.is_empty()


def test_get_waits_no_longer_than_it_is_told(broker):
    subscription = broker.subscribe("t")
    with pytest.raises(TimeoutError):
        subscription.get(timeout=0.01)
    broker.publish("t", b"x")
    assert subscription.get(timeout=WAIT).value == b"x"


def test_closing_ends_an_iteration(broker):
    subscription = broker.subscribe("t")
    got = []
    thread = threading.Thread(target=lambda: got.extend(subscription))
    thread.start()
    broker.close()
    thread.join(WAIT)
    assert not thread.is_alive()
    with pytest.raises(ClosedError):
        subscription.get()


def test_a_closed_broker_says_so(broker):
    broker.close()
    broker.close()
    with pytest.raises(ClosedError):
        broker.publish("t", b"x")
    with pytest.raises(ClosedError):
        broker.subscribe("t")
    with pytest.raises(ClosedError):
        broker.topics()


def test_a_weak_handler_goes_with_its_owner(broker):
    class Owner:
        def __init__(self):
            self.box = Box()

        def handle(self, message):
            self.box(message)

    owner, always = Owner(), Box()
    box = owner.box
    subscription = broker.subscribe("t", owner.handle, weak=True)
    broker.publish("t", b"1")
    assert box.values(1) == [b"1"]
    del owner
    gc.collect()
    broker.subscribe("t", always)
    broker.publish("t", b"2")
    broker.publish("t", b"3")
    assert always.values(2) == [b"2", b"3"]
    assert box.is_empty()
    assert subscription.closed


def test_message_slots_arrive_as_they_were_published(broker):
    box = Box()
    broker.subscribe("t", box)
    before = datetime.now(UTC) - timedelta(seconds=1)
    broker.publish(
        "t",
        {"a": 1},
        key="k",
        headers=[("x", "1"), ("x", b"\xff"), ("none", None)],
        message_id="m-1",
        reply_to="answers",
        correlation_id=b"c",
        expiry="1h",
    )
    (message,) = box.take(1)
    assert (message.key, message.message_id) == (b"k", "m-1")
    assert message.headers == (("x", b"1"), ("x", b"\xff"), ("none", None))
    assert (message.reply_to, message.correlation_id) == ("answers", b"c")
    assert (message.content_type, message.expiry_ms) == ("application/json", 3_600_000)
    assert before < message.timestamp < datetime.now(UTC) + timedelta(seconds=1)
    assert (message.topic, message.offset, message.attempt) == (None, None, None)


@pytest.mark.parametrize("address", ["a\nb", "e\u0301", "x" * 70_000, "." * 201])
def test_a_name_that_no_protocol_could_carry_is_refused(broker, address):
    with pytest.raises(InvalidAddressError):
        broker.publish(address, b"x")


def test_reserved_names_are_closed(broker):
    with pytest.raises(DeniedError):
        broker.publish("__hubbub_state", b"x")
    with pytest.raises(DeniedError):
        broker.create_topic("__consumer_offsets")


def test_only_groups_settle(broker):
    with pytest.raises(InvalidSettingsError):
        broker.subscribe("t", max_deliveries=3)
    subscription = broker.subscribe("t")
    broker.publish("t", b"x")
    with pytest.raises(ValueError, match="only what a group gets"):
        subscription.get(WAIT).ack()


# Requests


def test_a_returned_value_is_the_answer(broker):
    broker.subscribe("double", lambda message: message.json() * 2)
    assert broker.request("double", 21).result().json() == 42


def test_respond_answers_with_the_questions_correlation_id(broker):
    def handle(message):
        message.respond("pong", headers={"by": "me"})

    broker.subscribe("ping", handle)
    answer = broker.request("ping", correlation_id=b"7").result()
    assert (answer.text, answer.correlation_id) == ("pong", b"7")
    assert answer.headers == (("by", b"me"),)


def test_the_first_of_several_answers_counts(broker):
    broker.subscribe("ask", lambda _: 1)
    broker.subscribe("ask", lambda _: 2)
    assert broker.request("ask").result().json() in {1, 2}


def test_a_request_that_nobody_hears_fails_at_once(broker):
    with pytest.raises(NoRespondersError):
        broker.request("nobody", timeout=60).result()


def test_a_request_that_nobody_answers_times_out(broker):
    broker.subscribe("silent", lambda _: None)
    with pytest.raises(TimeoutError):
        broker.request("silent", timeout=0.05).result()


def test_a_respondent_may_itself_ask(broker):
    broker.subscribe("inner", lambda message: message.json() + 1)
    broker.subscribe(
        "outer", lambda message: broker.request("inner", message.json()).result().json()
    )
    assert broker.request("outer", 1).result().json() == 2


def test_what_is_no_request_has_no_answer(broker):
    subscription = broker.subscribe("t")
    broker.publish("t", b"x")
    with pytest.raises(ValueError, match="nobody awaits"):
        subscription.get(WAIT).respond(b"y")


# Stored


def test_a_publish_says_where_it_is_stored(broker):
    broker.create_topic("orders", partitions=3)
    places = [broker.publish("orders", b"x", key="one key").stored[0] for _ in range(3)]
    assert {place.topic for place in places} == {"orders"}
    assert len({place.partition for place in places}) == 1
    assert [place.offset for place in places] == [0, 1, 2]


def test_a_replay_begins_where_it_is_told_and_goes_on_live(broker):
    broker.create_topic("t")
    for number in range(5):
        broker.publish("t", b"%d" % number)
    everything, rest, new = (
        broker.subscribe("t", start=start) for start in ("beginning", 3, "new")
    )
    broker.publish("t", b"5")
    assert [everything.get(WAIT).value for _ in range(6)] == [b"%d" % n for n in range(6)]
    assert [rest.get(WAIT).offset for _ in range(3)] == [3, 4, 5]
    assert new.get(WAIT).value == b"5"


@pytest.mark.parametrize("ago", ["1h", timedelta(hours=1), datetime(2020, 1, 1, tzinfo=UTC)])
def test_a_replay_begins_at_a_time(broker, ago):
    broker.create_topic("t")
    broker.publish("t", b"x")
    assert broker.subscribe("t", start=ago).get(WAIT).value == b"x"
    later = broker.subscribe("t", start=datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(TimeoutError):
        later.get(0.01)


def test_a_replay_and_what_is_published_meanwhile_join_without_gap_or_duplicate(broker):
    broker.create_topic("t")
    published = 2000
    started = threading.Event()

    def publish():
        for number in range(published):
            broker.publish_soon("t", number)
            if number == published // 10:
                started.set()

    thread = threading.Thread(target=publish)
    thread.start()
    assert started.wait(WAIT)
    subscription = broker.subscribe("t", start="beginning", limit=published)
    assert [message.json() for message in subscription] == list(range(published))
    thread.join()


def test_a_replay_covers_every_topic_of_its_pattern_and_those_made_later(broker):
    broker.create_topic("orders.eu")
    broker.create_topic("orders.us")
    broker.create_topic("payments")
    for address in ("orders.eu", "orders.us", "payments"):
        broker.publish(address, address)
    subscription = broker.subscribe("orders.*", start="beginning")
    assert {subscription.get(WAIT).text for _ in range(2)} == {"orders.eu", "orders.us"}
    broker.create_topic("orders.late")
    broker.publish("orders.late", "late")
    assert subscription.get(WAIT).text == "late"


def test_a_replay_gets_what_no_topic_captures_as_it_comes(broker):
    broker.create_topic("a.stored")
    broker.publish("a.live", b"gone")
    subscription = broker.subscribe("a.*", start="beginning")
    broker.publish("a.live", b"1")
    broker.publish("a.stored", b"2")
    got = {subscription.get(WAIT).value for _ in range(2)}
    assert got == {b"1", b"2"}
    with pytest.raises(TimeoutError):
        subscription.get(0.01)


def test_what_several_topics_hold_is_replayed_once(broker):
    broker.create_topic("everything", captures=["orders.>"])
    broker.create_topic("orders.eu")
    assert len(broker.publish("orders.eu", b"1").stored) == 2
    broker.publish("orders.us", b"2")
    subscription = broker.subscribe("orders.*", start="beginning")
    got = [subscription.get(WAIT) for _ in range(2)]
    assert sorted((message.address, message.value) for message in got) == [
        ("orders.eu", b"1"),
        ("orders.us", b"2"),
    ]
    with pytest.raises(TimeoutError):
        subscription.get(0.01)


def test_a_replay_longer_than_its_window_arrives_whole(broker):
    broker.create_topic("t")
    for pending in [broker.publish_soon("t", number) for number in range(500)]:
        pending.result(WAIT)
    subscription = broker.subscribe("t", start="beginning", window=4, limit=500)
    assert [message.json() for message in subscription] == list(range(500))


def test_a_live_subscriber_of_a_stored_address_gets_what_is_new(broker):
    broker.create_topic("t")
    broker.publish("t", b"old")
    box = Box()
    broker.subscribe("t", box)
    assert broker.publish("t", b"new").observers == 1
    assert box.values(1) == [b"new"]


def test_a_message_too_large_for_its_topic_is_refused_and_seen_by_nobody(broker):
    broker.create_topic("t", settings=TopicSettings(max_message_bytes=1000))
    box = Box()
    broker.subscribe("t", box)
    with pytest.raises(MessageTooLargeError):
        broker.publish("t", b"x" * 2000)
    broker.publish("t", b"small")
    assert box.values(1) == [b"small"]


# Topics


def test_topics_are_made_listed_and_deleted(broker):
    broker.create_topic("b", partitions=2, retention="1h")
    broker.create_topic("a", compact=True, captures=["x.>"])
    broker.publish("b", b"123")
    first, second = broker.topics()
    assert (first.name, first.settings.compact, first.settings.captures) == ("a", True, ("x.>",))
    assert (second.name, second.messages, len(second.partitions)) == ("b", 1, 2)
    assert second.bytes > 3
    assert second.settings.retention_ms == 3_600_000
    broker.delete_topic("b")
    assert [topic.name for topic in broker.topics()] == ["a"]
    assert broker.publish("b", b"x").stored == ()


def test_topic_errors_have_their_own_classes(broker):
    broker.create_topic("t")
    with pytest.raises(TopicExistsError):
        broker.create_topic("t")
    with pytest.raises(UnknownTopicError):
        broker.delete_topic("other")
    with pytest.raises(InvalidSettingsError):
        broker.create_topic("u", partitions=0)
    with pytest.raises(InvalidSettingsError):
        broker.create_topic("u", settings=TopicSettings(segment_bytes=1))
    with pytest.raises(InvalidSettingsError):
        broker.create_topic("u", retention="soon")
    assert issubclass(UnknownTopicError, HubbubError)


def test_the_live_subscribers_of_an_address_are_listed(broker):
    assert broker.subscribers("orders.new") == []
    broker.subscribe("orders.*")
    subscription = broker.subscribe("orders.new")
    assert len(broker.subscribers("orders.new")) == 2
    subscription.unsubscribe()
    assert len(broker.subscribers("orders.new")) == 1


# Asynchronous


def test_an_async_handler_runs_on_the_loop_that_subscribed(broker):
    async def main():
        loops, got = [], asyncio.Queue()

        async def handle(message):
            loops.append(asyncio.get_running_loop())
            await got.put(message.json())

        broker.subscribe("t", handle)
        for number in range(10):
            await broker.publish_soon("t", number)
        assert [await asyncio.wait_for(got.get(), WAIT) for _ in range(10)] == list(range(10))
        assert set(loops) == {asyncio.get_running_loop()}

    asyncio.run(main())


def test_an_async_handler_without_a_loop_gets_one(broker):
    box = Box()

    async def handle(message):
        await asyncio.sleep(0)
        box(message)

    broker.subscribe("t", handle)
    for number in range(5):
        broker.publish("t", number)
    assert [message.json() for message in box.take(5)] == list(range(5))


def test_async_iteration_and_async_requests(broker):
    async def main():
        async def respond(message):
            return message.json() + 1

        broker.subscribe("plus", respond)
        subscription = broker.subscribe("t", limit=3)
        for number in range(3):
            await broker.publish_soon("t", number)
        assert [message.json() async for message in subscription] == [0, 1, 2]
        assert (await broker.request("plus", 1)).json() == 2
        with pytest.raises(NoRespondersError):
            await broker.request("nobody")

    asyncio.run(main())


def test_an_async_iteration_that_is_given_up_loses_nothing(broker):
    async def main():
        subscription = broker.subscribe("t")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(aiter(subscription)), 0.01)
        broker.publish("t", b"x")
        message = await asyncio.wait_for(anext(aiter(subscription)), WAIT)
        assert message.value == b"x"

    asyncio.run(main())


def test_many_threads_may_publish_at_once(broker):
    broker.create_topic("t", partitions=2)
    box = Box()
    broker.subscribe("t", box)

    def publish(name):
        for number in range(50):
            broker.publish("t", [name, number], key=str(name))

    threads = [threading.Thread(target=publish, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    got = [message.json() for message in box.take(400)]
    for thread in threads:
        thread.join()
    for name in range(8):
        assert [number for who, number in got if who == name] == list(range(50))
    assert sum(topic.messages for topic in broker.topics()) == 400


def test_a_waiter_given_up_after_it_was_woken_passes_the_message_on(broker):
    async def main():
        subscription = broker.subscribe("t")
        waiters = [asyncio.ensure_future(anext(aiter(subscription))) for _ in range(2)]
        await asyncio.sleep(0)
        woken = threading.Event()
        put = subscription.mailbox.put

        def put_and_tell(message):
            put(message)
            woken.set()
            return True

        subscription.mailbox.put = put_and_tell
        broker.publish("t", b"x")
        woken.wait(WAIT)  # without the loop: the first waiter is told, and has not run yet
        waiters[0].cancel()
        message = await asyncio.wait_for(waiters[1], WAIT)
        assert message.value == b"x"

    asyncio.run(main())
