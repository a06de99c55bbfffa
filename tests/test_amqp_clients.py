"""What users of AMQP do all day, through pika, aiormq and py-amqp as they come."""

from __future__ import annotations

import pytest

from amqp_clients import ClosedError, NackedError, Pika, ReturnedError

pytestmark = pytest.mark.server

LARGE = 5 * 1024 * 1024


def numbers(count):
    return [b"%d" % number for number in range(count)]


# A work queue


def test_jobs_arrive_whole_once_and_in_order(amqp_connect, name):
    jobs = [*numbers(300), b"", b"\x00\xce\xff", b"x" * 200_000]
    publisher, worker = amqp_connect(), amqp_connect()
    worker.declare_queue(name)
    worker.consume(name)
    for job in jobs:
        publisher.publish("", name, job)
    got = worker.take(len(jobs))
    assert [one.body for one in got] == jobs
    assert {(one.exchange, one.key, one.redelivered) for one in got} == {("", name, False)}
    assert [one.tag for one in got] == list(range(1, len(jobs) + 1))
    for one in got:
        worker.ack(one)
    assert worker.rest(name) == []
    assert worker.count(name) == 0


def test_properties_and_headers_arrive_as_they_were_sent(amqp_client, name):
    sent = {
        "content_type": "application/json", "content_encoding": "gzip", "delivery_mode": 2,
        "priority": 3, "correlation_id": "c-7", "reply_to": "answers", "expiration": "60000",
        "message_id": "m-1", "type": "order.placed", "user_id": "guest", "app_id": "shop",
        "headers": {
            "text": "grün", "number": -5, "large": 2**40, "yes": True, "no": None,
            "list": ["a", 1, {"b": 2}], "table": {"deep": {"deeper": "x"}},
        },
    }  # fmt: skip
    amqp_client.declare_queue(name)
    amqp_client.publish("", name, b"{}", **sent)
    got = amqp_client.get(name)
    got.properties.pop("timestamp", None)
    assert got.properties == sent


def test_a_message_without_properties_has_none(amqp_client, name):
    amqp_client.declare_queue(name)
    amqp_client.publish("", name, b"x")
    got = amqp_client.get(name)
    got.properties.pop("message_id", None)  # aiormq makes one
    assert {key: value for key, value in got.properties.items() if value} == {}


def test_workers_of_one_queue_share_it(amqp_connect, name):
    publisher, *workers = (amqp_connect() for _ in range(4))
    publisher.declare_queue(name)
    for worker in workers:
        worker.consume(name)
    for job in numbers(30):
        publisher.publish("", name, job)
    got = [[one.body for one in worker.take(10)] for worker in workers]
    assert sorted(job for some in got for job in some) == sorted(numbers(30))


def test_prefetch_bounds_what_is_not_acknowledged(amqp_client, name):
    amqp_client.declare_queue(name)
    for job in numbers(10):
        amqp_client.publish("", name, job)
    amqp_client.consume(name, prefetch=3)
    first = amqp_client.take(3)
    assert amqp_client.rest(name) == []
    amqp_client.ack(first[1])
    assert amqp_client.bodies(1) == [b"3"]
    assert amqp_client.rest(name) == []
    amqp_client.ack(first[2], multiple=True)
    assert amqp_client.bodies(2) == [b"4", b"5"]
    assert amqp_client.count(name) == 4


def test_prefetch_holds_for_each_consumer_alone(amqp_client, name):
    amqp_client.declare_queue(name)
    for job in numbers(10):
        amqp_client.publish("", name, job)
    amqp_client.consume(name, prefetch=2, tag="two")
    amqp_client.consume(name, prefetch=3, tag="three")
    tags = sorted(one.consumer for one in amqp_client.take(5))
    assert tags == ["three"] * 3 + ["two"] * 2
    assert amqp_client.rest(name) == []


def test_without_acknowledgements_prefetch_means_nothing(amqp_client, name):
    amqp_client.declare_queue(name)
    for job in numbers(10):
        amqp_client.publish("", name, job)
    amqp_client.consume(name, prefetch=1, no_ack=True)
    assert amqp_client.bodies(10) == numbers(10)
    amqp_client.close()


def test_what_a_lost_worker_had_comes_again_in_its_old_place(amqp_connect, name):
    lost, worker = amqp_connect(), amqp_connect()
    worker.declare_queue(name)
    for job in numbers(5):
        worker.publish("", name, job)
    lost.consume(name, prefetch=3)
    first = lost.take(3)
    lost.ack(first[1])
    [fourth] = lost.take(1)
    assert fourth.body == b"3"
    lost.drop()
    worker.await_count(name, 4)
    worker.consume(name)
    assert [(one.body, one.redelivered) for one in worker.take(4)] == [
        (b"0", True), (b"2", True), (b"3", True), (b"4", False),
    ]  # fmt: skip


def test_a_job_that_is_put_back_comes_again_marked(amqp_client, name):
    amqp_client.declare_queue(name)
    for job in numbers(3):
        amqp_client.publish("", name, job)
    amqp_client.consume(name, prefetch=1)
    [first] = amqp_client.take(1)
    amqp_client.reject(first, requeue=True)
    [again] = amqp_client.take(1)
    assert (again.body, again.redelivered, again.tag) == (b"0", True, 2)
    amqp_client.reject(again, requeue=False)
    [second] = amqp_client.take(1)
    assert (second.body, second.redelivered) == (b"1", False)


def test_nack_puts_back_all_up_to_a_tag(amqp_url, name):
    with Pika(amqp_url) as client:
        client.declare_queue(name)
        for job in numbers(5):
            client.publish("", name, job)
        client.consume(name, prefetch=4)
        client.channel.basic_nack(client.take(4)[2].tag, multiple=True, requeue=True)
        got = client.take(3)
        assert [(one.body, one.redelivered) for one in got] == [
            (b"0", True), (b"1", True), (b"2", True),
        ]  # fmt: skip
        client.channel.basic_nack(0, multiple=True, requeue=False)  # 0: all there are
        assert client.bodies(1) == [b"4"]


def test_recover_sends_everything_again(amqp_client, name):
    amqp_client.declare_queue(name)
    for job in numbers(3):
        amqp_client.publish("", name, job)
    amqp_client.consume(name)
    amqp_client.ack(amqp_client.take(3)[0])
    amqp_client.recover()
    got = amqp_client.take(2)
    assert [(one.body, one.redelivered, one.tag) for one in got] == [
        (b"1", True, 4), (b"2", True, 5),
    ]  # fmt: skip


def test_a_cancelled_consumer_gets_no_more_and_keeps_what_it_has(amqp_client, name):
    amqp_client.declare_queue(name)
    amqp_client.publish("", name, b"0")
    tag = amqp_client.consume(name)
    [got] = amqp_client.take(1)
    amqp_client.cancel(tag)
    amqp_client.publish("", name, b"1")
    assert amqp_client.rest(name) == []
    amqp_client.ack(got)
    assert amqp_client.count(name) == 1


# basic.get


def test_get_takes_one_and_says_how_many_are_left(amqp_client, name):
    amqp_client.declare_queue(name)
    for job in numbers(3):
        amqp_client.publish("", name, job)
    got = [amqp_client.get(name) for _ in range(3)]
    assert [(one.body, one.left) for one in got] == [(b"0", 2), (b"1", 1), (b"2", 0)]
    assert amqp_client.get(name) is None
    amqp_client.reject(got[0], requeue=True)
    again = amqp_client.get(name, no_ack=True)
    assert (again.body, again.redelivered) == (b"0", True)


def test_purge_and_delete_say_how_many_there_were(amqp_client, name):
    amqp_client.declare_queue(name)
    for job in numbers(3):
        amqp_client.publish("", name, job)
    held = amqp_client.get(name)
    assert amqp_client.purge(name) == 2
    amqp_client.reject(held, requeue=True)
    assert amqp_client.delete_queue(name) == 1
    assert amqp_client.delete_queue(name) == 0  # which is there no more


# Confirms, and what comes back


def test_a_mandatory_message_that_no_queue_takes_comes_back_before_its_confirm(amqp_client, name):
    with pytest.raises(ReturnedError) as caught:
        amqp_client.publish("", name, b"x", mandatory=True)
    assert (caught.value.code, caught.value.text) == (312, "NO_ROUTE")
    amqp_client.declare_queue(name)
    amqp_client.publish("", name, b"x", mandatory=True)
    amqp_client.publish("amq.direct", name, b"not mandatory")
    assert [got.body for got in amqp_client.get_all(name)] == [b"x"]


def test_a_returned_message_is_whole(amqp_url, name):
    with Pika(amqp_url) as client:
        client.channel.confirm_delivery()
        with pytest.raises(ReturnedError) as caught:
            client.publish(
                "amq.topic", name, b"y" * 300_000, mandatory=True, headers={"a": 1}, message_id="m"
            )
        [back] = caught.value.__cause__.messages
        assert (back.method.exchange, back.method.routing_key) == ("amq.topic", name)
        assert (back.properties.headers, back.properties.message_id) == ({"a": 1}, "m")
        assert back.body == b"y" * 300_000


def test_a_full_queue_that_rejects_makes_the_confirm_a_nack(amqp_client, name):
    amqp_client.declare_queue(name, x_max_length=2, x_overflow="reject-publish")
    for job in numbers(2):
        amqp_client.publish("", name, job)
    with pytest.raises(NackedError):
        amqp_client.publish("", name, b"too many")
    assert [got.body for got in amqp_client.get_all(name)] == numbers(2)
    amqp_client.publish("", name, b"room again")


# Exchanges


def test_direct_exchanges_route_by_the_whole_key(amqp_client, name):
    amqp_client.declare_exchange(name)
    for key in ("a", "b"):
        amqp_client.declare_queue(f"{name}.{key}")
        amqp_client.bind(f"{name}.{key}", name, key)
    amqp_client.bind(f"{name}.b", name, "a")
    for key in ("a", "b", "c", "a.b"):
        amqp_client.publish(name, key, key.encode())
    assert [got.body for got in amqp_client.get_all(f"{name}.a")] == [b"a"]
    both = amqp_client.get_all(f"{name}.b")
    assert [(got.body, got.exchange, got.key) for got in both] == [
        (b"a", name, "a"), (b"b", name, "b"),
    ]  # fmt: skip
    amqp_client.unbind(f"{name}.b", name, "b")
    amqp_client.publish(name, "b")
    assert amqp_client.count(f"{name}.b") == 0


def test_fanout_exchanges_give_each_queue_one_copy(amqp_client, name):
    amqp_client.declare_exchange(name, "fanout")
    for queue in (f"{name}.1", f"{name}.2"):
        amqp_client.declare_queue(queue)
        amqp_client.bind(queue, name, "ignored")
        amqp_client.bind(queue, name)  # a second binding makes no second copy
    amqp_client.publish(name, "whatever", b"x")
    for queue in (f"{name}.1", f"{name}.2"):
        assert [(got.body, got.key) for got in amqp_client.get_all(queue)] == [(b"x", "whatever")]


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("#", ["", "a", "a.b", "a.b.c", "a..c"]),
        ("*", ["", "a"]),
        ("a.*", ["a.b"]),
        ("a.#", ["a", "a.b", "a.b.c", "a..c"]),
        ("a.*.c", ["a.b.c", "a..c"]),
        ("#.c", ["a.b.c", "a..c"]),
        ("*.#.*", ["a.b", "a.b.c", "a..c"]),
        ("a.b", ["a.b"]),
    ],
)
def test_topic_exchanges_match_by_word(amqp_client, name, pattern, matching):
    if pattern == "*":
        matching = ["a"]  # the empty key has no word
    amqp_client.declare_exchange(name, "topic")
    amqp_client.declare_queue(name)
    amqp_client.bind(name, name, pattern)
    for key in ("", "a", "a.b", "a.b.c", "a..c"):
        amqp_client.publish(name, key)
    assert [got.key for got in amqp_client.get_all(name)] == matching


def test_headers_exchanges_match_all_or_any(amqp_client, name):
    amqp_client.declare_exchange(name, "headers")
    bindings = {
        "all": {"x-match": "all", "kind": "report", "size": 5},
        "any": {"x-match": "any", "kind": "report", "size": 5},
        "with-x": {"x-match": "any-with-x", "x-tag": "t"},
        "there": {"x-match": "all", "kind": None},
    }
    for queue, arguments in bindings.items():
        amqp_client.declare_queue(f"{name}.{queue}")
        amqp_client.bind(f"{name}.{queue}", name, **arguments)
    amqp_client.publish(name, "", b"0", headers={"kind": "report", "size": 5, "more": True})
    amqp_client.publish(name, "", b"1", headers={"kind": "report"})
    amqp_client.publish(name, "", b"2", headers={"size": 6, "x-tag": "t"})
    amqp_client.publish(name, "", b"3")
    got = {
        queue: [one.body for one in amqp_client.get_all(f"{name}.{queue}")] for queue in bindings
    }
    assert got == {"all": [b"0"], "any": [b"0", b"1"], "with-x": [b"2"], "there": [b"0", b"1"]}


def test_exchanges_bind_to_exchanges(amqp_client, name):
    amqp_client.declare_exchange(f"{name}.in", "topic")
    amqp_client.declare_exchange(f"{name}.out", "fanout")
    amqp_client.declare_queue(name)
    amqp_client.bind(name, f"{name}.out")
    amqp_client.bind_exchange(f"{name}.out", f"{name}.in", "a.#")
    amqp_client.bind_exchange(f"{name}.in", f"{name}.out")  # a circle is no trouble
    for key in ("a.b", "b"):
        amqp_client.publish(f"{name}.in", key)
    [got] = amqp_client.get_all(name)
    assert (got.exchange, got.key) == (f"{name}.in", "a.b")
    amqp_client.unbind_exchange(f"{name}.out", f"{name}.in", "a.#")
    amqp_client.publish(f"{name}.in", "a.b")
    assert amqp_client.count(name) == 0


def test_an_alternate_exchange_gets_what_nobody_is_bound_to(amqp_client, name):
    amqp_client.declare_exchange(f"{name}.lost", "fanout")
    amqp_client.declare_exchange(name, "direct", alternate_exchange=f"{name}.lost")
    for queue in (name, f"{name}.lost"):
        amqp_client.declare_queue(queue)
    amqp_client.bind(f"{name}.lost", f"{name}.lost")
    amqp_client.bind(name, name, "known")
    amqp_client.publish(name, "known", b"1", mandatory=True)
    amqp_client.publish(name, "unknown", b"2", mandatory=True)  # routed, so not returned
    assert [got.body for got in amqp_client.get_all(name)] == [b"1"]
    [got] = amqp_client.get_all(f"{name}.lost")
    assert (got.body, got.exchange, got.key) == (b"2", name, "unknown")


def test_copies_go_where_the_sender_says(amqp_client, name):
    for queue in (name, f"{name}.cc", f"{name}.bcc"):
        amqp_client.declare_queue(queue)
    amqp_client.publish("", name, b"x", headers={"CC": [f"{name}.cc"], "BCC": [f"{name}.bcc"]})
    for queue in (name, f"{name}.cc", f"{name}.bcc"):
        [got] = amqp_client.get_all(queue)
        assert got.headers == {"CC": [f"{name}.cc"]}


def test_an_exchange_that_deletes_itself_goes_with_its_last_binding(amqp_client, name):
    amqp_client.declare_exchange(name, "fanout", auto_delete=True)
    amqp_client.declare_queue(name)
    amqp_client.bind(name, name)
    amqp_client.unbind(name, name)
    with pytest.raises(ClosedError) as caught:
        amqp_client.declare_exchange(name, "fanout", passive=True)
    assert caught.value.text == f"NOT_FOUND - no exchange '{name}' in vhost '/'"


# Queues that come and go


def test_a_server_names_a_queue_without_a_name(amqp_client):
    first, second = (amqp_client.declare_queue(exclusive=True)[0] for _ in range(2))
    assert first.startswith("amq.gen-")
    assert second.startswith("amq.gen-")
    assert first != second
    amqp_client.publish("", first, b"x")
    assert amqp_client.get(first).body == b"x"


def test_an_exclusive_queue_is_its_connections_and_goes_with_it(amqp_connect, name):
    owner, other = amqp_connect(), amqp_connect()
    owner.declare_queue(name, exclusive=True)
    with pytest.raises(ClosedError) as caught:
        other.consume(name)
    assert caught.value.text.startswith(
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'"
    )
    owner.close()
    other.open_channel()
    other.declare_queue(name)  # it is another now


def test_a_queue_that_deletes_itself_goes_with_its_last_consumer(amqp_client, name):
    amqp_client.declare_queue(name, auto_delete=True)
    first, second = (amqp_client.consume(name) for _ in range(2))
    amqp_client.cancel(first)
    assert amqp_client.consumers(name) == 1
    amqp_client.cancel(second)
    with pytest.raises(ClosedError) as caught:
        amqp_client.declare_queue(name, passive=True)
    assert caught.value.text == f"NOT_FOUND - no queue '{name}' in vhost '/'"


def test_a_consumer_is_told_when_its_queue_is_deleted(amqp_connect, name):
    worker, other = amqp_connect(), amqp_connect()
    if worker.name == "aiormq":
        pytest.skip("aiormq drops the consumer without a word to its user")
    worker.declare_queue(name)
    worker.consume(name, tag="told")
    other.delete_queue(name)
    assert worker.until_cancelled() == ["told"]


def test_who_deletes_the_queue_it_consumes_from_is_answered_before_it_is_told(amqp_client, name):
    amqp_client.declare_queue(name)
    amqp_client.publish("", name, b"x")
    amqp_client.consume(name, prefetch=0)
    amqp_client.take(1)
    assert amqp_client.delete_queue(name) == 0
    assert amqp_client.cancelled == []
    assert amqp_client.declare_queue(name)[1:] == (0, 0)  # the channel is as well as before


def test_a_queue_is_deleted_only_if_unused_and_if_empty(amqp_connect, name):
    client, worker = amqp_connect(), amqp_connect()
    client.declare_queue(name)
    client.publish("", name, b"x")
    with pytest.raises(ClosedError) as caught:
        client.delete_queue(name, if_empty=True)
    assert caught.value.text == f"PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty"
    client.open_channel()
    worker.consume(name)
    worker.take(1)
    with pytest.raises(ClosedError) as caught:
        client.delete_queue(name, if_unused=True)
    assert caught.value.text == f"PRECONDITION_FAILED - queue '{name}' in vhost '/' in use"


# Requests


def test_a_request_is_answered_through_direct_reply_to(amqp_connect, name):
    asking, answering = amqp_connect(), amqp_connect()
    answering.declare_queue(name)
    answering.consume(name)
    asking.consume("amq.rabbitmq.reply-to", no_ack=True)
    asking.publish("", name, b"?", reply_to="amq.rabbitmq.reply-to", correlation_id="7")
    [request] = answering.take(1)
    address = request.properties["reply_to"]
    assert address.startswith("amq.rabbitmq.reply-to.")
    answering.publish("", address, b"!", correlation_id="7")
    [answer] = asking.take(1)
    assert (answer.body, answer.properties["correlation_id"]) == (b"!", "7")
    assert (answer.exchange, answer.key, answer.redelivered) == ("", address, False)


def test_who_asks_sees_whether_somebody_can_still_be_answered(amqp_connect, name):
    asking, answering = amqp_connect(), amqp_connect()
    if asking.name == "aiormq":
        pytest.skip("aiormq refuses to name such a queue")
    answering.declare_queue(name)
    asking.consume("amq.rabbitmq.reply-to", no_ack=True)
    asking.publish("", name, b"?", reply_to="amq.rabbitmq.reply-to")
    address = answering.await_get(name).properties["reply_to"]
    assert answering.declare_queue(address, passive=True)[0] == address
    answering.publish("", address, b"!")
    assert asking.bodies(1) == [b"!"]
    asking.close()
    with pytest.raises(ClosedError) as caught:
        answering.declare_queue(address, passive=True)
    assert caught.value.text == f"NOT_FOUND - no queue '{address}' in vhost '/'"


# Transactions


def test_a_transaction_is_carried_out_whole_or_not_at_all(amqp_connect, name):
    client, watcher = amqp_connect(confirms=False), amqp_connect()
    client.declare_queue(name)
    watcher.publish("", name, b"job")
    client.tx("select")
    job = client.get(name)
    client.publish("", name, b"result 1")
    client.ack(job)
    assert watcher.count(name) == 0
    client.tx("rollback")
    assert watcher.count(name) == 0
    client.publish("", name, b"result 2")
    client.ack(job)  # the rollback gave the delivery back to the channel, not to the queue
    client.tx("commit")
    assert [got.body for got in watcher.get_all(name)] == [b"result 2"]


def test_what_a_transaction_did_not_commit_is_gone_with_its_channel(amqp_connect, name):
    client, watcher = amqp_connect(confirms=False), amqp_connect()
    client.declare_queue(name)
    watcher.publish("", name, b"job")
    client.tx("select")
    client.ack(client.get(name))
    client.publish("", name, b"result")
    client.count(name)  # so that all of this was received
    client.close()
    got = watcher.await_get(name)
    assert (got.body, got.redelivered) == (b"job", True)
    assert watcher.get(name) is None


# Large bodies


def test_a_large_body_is_split_into_frames_and_put_together_again(amqp_connect, name):
    client = amqp_connect()
    body = bytes(range(256)) * (LARGE // 256)
    client.declare_queue(name)
    client.publish("", name, body, mandatory=True)
    assert client.get(name).body == body
