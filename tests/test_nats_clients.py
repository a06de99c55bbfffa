"""What users of NATS do all day, with nats-py and the NATS client of Node as they come."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import ExitStack

import nats
import pytest
from nats.errors import MaxPayloadError, NoRespondersError

import hubbub
from clients import WAIT_SECONDS, Inbox
from node_client import ClientError

pytestmark = pytest.mark.server

MAX_PAYLOAD = 1024 * 1024


@pytest.fixture
def name():
    """A subject that is the test's own."""
    return f"nats.{uuid.uuid4().hex}"


@pytest.fixture
def bus(shared_server):
    with hubbub.Broker.connect(shared_server.url) as broker:
        yield broker


def with_client(server, scenario, **options):
    """Run ``scenario`` with a connected nats-py client, and see that the broker had no complaint."""

    async def run():
        complaints = []

        async def complain(error):
            complaints.append(error)

        connection = await nats.connect(server.nats, error_cb=complain, **options)
        async with connection:
            await asyncio.wait_for(scenario(connection), WAIT_SECONDS)
        assert complaints == []

    asyncio.run(run())


async def take(subscription, count):
    return [await subscription.next_msg(WAIT_SECONDS) for _ in range(count)]


# nats-py


def test_messages_arrive_whole_and_in_order(shared_server, name):
    payloads = [b"%d" % number for number in range(1000)] + [
        b"",
        b"\x00\r\n\xff",
        b"x" * MAX_PAYLOAD,
    ]

    async def scenario(connection):
        subscription = await connection.subscribe(name)
        for payload in payloads:
            await connection.publish(name, payload)
        assert [message.data for message in await take(subscription, len(payloads))] == payloads

    with_client(shared_server, scenario)


def test_wildcards_match_by_token(shared_server, name):
    async def scenario(connection):
        one = await connection.subscribe(f"{name}.*")
        many = await connection.subscribe(f"{name}.>")
        for subject in (f"{name}", f"{name}.a", f"{name}.a.b", f"{name}.b"):
            await connection.publish(subject)
        await connection.flush()
        assert [m.subject for m in await take(one, 2)] == [f"{name}.a", f"{name}.b"]
        assert [m.subject for m in await take(many, 3)] == [
            f"{name}.a", f"{name}.a.b", f"{name}.b",
        ]  # fmt: skip
        assert one.pending_msgs == many.pending_msgs == 0

    with_client(shared_server, scenario)


def test_a_queue_group_shares_what_plain_subscribers_all_get(shared_server, name):
    async def scenario(connection):
        members = [await connection.subscribe(name, queue="workers") for _ in range(3)]
        plain = await connection.subscribe(name)
        for number in range(300):
            await connection.publish(name, b"%d" % number)
        await connection.flush()
        assert len(await take(plain, 300)) == 300
        counts = [member.pending_msgs for member in members]
        assert sum(counts) == 300
        assert all(counts)

    with_client(shared_server, scenario)


def test_a_request_is_answered(shared_server, name):
    async def scenario(connection):
        async def answer(message):
            await message.respond(b"re: " + message.data)

        await connection.subscribe(name, cb=answer)
        answers = await asyncio.gather(
            *(connection.request(name, b"%d" % number, WAIT_SECONDS) for number in range(50))
        )
        assert [message.data for message in answers] == [b"re: %d" % n for n in range(50)]

    with_client(shared_server, scenario)


def test_a_request_that_nobody_listens_to_fails_at_once(shared_server, name):
    async def scenario(connection):
        with pytest.raises(NoRespondersError):
            await connection.request(name, b"?", WAIT_SECONDS)
        with pytest.raises(NoRespondersError):
            await connection.request(name, b"?", WAIT_SECONDS, old_style=True)

    with_client(shared_server, scenario)


def test_jetstream_is_said_not_to_be_there(shared_server):
    async def scenario(connection):
        with pytest.raises(nats.js.errors.ServiceUnavailableError):
            await connection.jetstream().account_info()

    with_client(shared_server, scenario)


def test_headers_arrive(shared_server, name):
    headers = {"One": "1", "Nats-Msg-Id": "7", "With-Blank": "a b"}

    async def scenario(connection):
        subscription = await connection.subscribe(name)
        await connection.publish(name, b"x", headers=headers)
        await connection.publish(name, b"y")
        with_headers, without = await take(subscription, 2)
        assert (with_headers.data, with_headers.headers) == (b"x", headers)
        assert (without.data, without.headers) == (b"y", None)

    with_client(shared_server, scenario)


def test_a_drained_client_loses_nothing_that_was_on_its_way(shared_server, name):
    got = []

    async def scenario(connection):
        async def slowly(message):
            await asyncio.sleep(0)
            got.append(message.data)

        await connection.subscribe(name, cb=slowly)
        for number in range(500):
            await connection.publish(name, b"%d" % number)
        await connection.drain()

    with_client(shared_server, scenario)
    assert got == [b"%d" % number for number in range(500)]


def test_a_subscription_ends_after_its_maximum(shared_server, name):
    async def scenario(connection):
        subscription = await connection.subscribe(name)
        marker = await connection.subscribe(f"{name}.end")
        await subscription.unsubscribe(limit=3)
        for number in range(10):
            await connection.publish(name, b"%d" % number)
        await connection.publish(f"{name}.end")
        await take(marker, 1)
        assert [message.data for message in await take(subscription, 3)] == [b"0", b"1", b"2"]
        assert subscription.pending_msgs == 0

    with_client(shared_server, scenario)


def test_the_client_knows_the_largest_payload(shared_server, name):
    async def scenario(connection):
        assert connection.max_payload == MAX_PAYLOAD
        with pytest.raises(MaxPayloadError):
            await connection.publish(name, b"x" * (MAX_PAYLOAD + 1))

    with_client(shared_server, scenario)


def test_a_refused_publish_is_an_error_and_the_connection_goes_on(shared_server, name):
    async def run():
        told = asyncio.Queue()
        async with await nats.connect(shared_server.nats, error_cb=told.put) as connection:
            subscription = await connection.subscribe(name)
            await connection.publish("__hubbub_state", b"x")
            await connection.publish(name, b"still here")
            error = await asyncio.wait_for(told.get(), WAIT_SECONDS)
            assert "permissions violation for publish to" in str(error).lower()
            [message] = await take(subscription, 1)
            assert message.data == b"still here"

    asyncio.run(run())


def test_a_client_is_there_again_after_a_restart(server, name):
    async def run():
        lost, back = asyncio.Event(), asyncio.Event()

        async def on_lost():
            lost.set()

        async def on_back():
            back.set()

        connection = await nats.connect(
            server.nats, disconnected_cb=on_lost, reconnected_cb=on_back,
            reconnect_time_wait=0.05, max_reconnect_attempts=-1, error_cb=ignore,
        )  # fmt: skip
        async with connection:
            subscription = await connection.subscribe(name)
            await connection.flush()
            await asyncio.to_thread(server.stop)
            await asyncio.wait_for(lost.wait(), WAIT_SECONDS)
            await asyncio.to_thread(server.start)
            await asyncio.wait_for(back.wait(), WAIT_SECONDS)
            await connection.publish(name, b"again")
            [message] = await take(subscription, 1)
            assert message.data == b"again"

    async def ignore(error):
        """The lost connection is what the test is about."""

    asyncio.run(run())


# Across


def test_a_request_from_nats_is_answered_by_a_handler_in_python(shared_server, bus, name):
    def answer(message):
        assert message.reply_to
        bus.publish_soon(message.reply_to, b"re: " + message.value, headers={"by": "python"})

    async def scenario(connection):
        got = await connection.request(name, b"?", WAIT_SECONDS)
        assert (got.data, got.headers) == (b"re: ?", {"by": "python"})

    with bus.subscribe(name, answer):
        with_client(shared_server, scenario)


def test_a_request_from_python_is_answered_by_nats(shared_server, bus, name):
    inbox = Inbox()

    async def scenario(connection):
        async def answer(message):
            assert message.headers["Correlation-Id"] == "7"
            await message.respond(b"re: " + message.data)

        await connection.subscribe(name, cb=answer)
        await connection.flush()
        reply = f"{name}.reply to"
        with bus.subscribe(reply, lambda message: inbox.put(message.value)):
            await asyncio.to_thread(bus.publish, name, b"?", reply_to=reply, correlation_id=b"7")
            assert await asyncio.to_thread(inbox.take, 1) == [b"re: ?"]

    with_client(shared_server, scenario)


def test_an_event_of_python_shows_its_slots_as_headers(shared_server, bus, name):
    async def scenario(connection):
        subscription = await connection.subscribe(name)
        await connection.flush()
        await asyncio.to_thread(
            bus.publish, name, {"id": 1}, key="k", headers={"a": "b"}, message_id="m"
        )
        [message] = await take(subscription, 1)
        assert message.data == b'{"id":1}'
        assert message.headers == {
            "hubbub-key": "k", "Content-Type": "application/json", "Nats-Msg-Id": "m", "a": "b",
        }  # fmt: skip

    with_client(shared_server, scenario)


# Node


def test_node_and_python_understand_each_other(shared_server, nats_js, name):
    with nats_js.started(shared_server.nats, "sub", f"{name}.>", "3") as node:

        async def scenario(connection):
            await connection.publish(f"{name}.a", b"one")
            await connection.publish(f"{name}.b.c", b"\xff\x00", headers={"H": "v"})
            await connection.publish(f"{name}.d", b"", reply="back")
            await connection.flush()

        with_client(shared_server, scenario)
        got = node.messages()
    assert [(m.subject, m.payload, m.headers, m.reply) for m in got] == [
        (f"{name}.a", b"one", {}, None),
        (f"{name}.b.c", b"\xff\x00", {"H": ["v"]}, None),
        (f"{name}.d", b"", {}, "back"),
    ]


def test_headers_of_node_keep_all_their_values(shared_server, nats_js, bus, name):
    inbox = Inbox()
    with bus.subscribe(name, inbox.put):
        nats_js.run(shared_server.nats, "headers", name, "x", "A=1", "A=2", "B=3")
        [message] = inbox.take(1)
    assert message.value == b"x"
    assert sorted(message.headers) == [("A", b"1"), ("A", b"2"), ("B", b"3")]


def test_a_queue_group_of_node_shares(shared_server, nats_js, name):
    """Each member ends when it has got one message: only if they share do both end."""
    with ExitStack() as stack:
        members = [
            stack.enter_context(nats_js.started(shared_server.nats, "queue", name, "workers", "1"))
            for _ in range(2)
        ]
        nats_js.run(shared_server.nats, "pub", name, "one", "two")
        got = [member.messages() for member in members]
    assert sorted(message.payload for [message] in got) == [b"one", b"two"]


def test_a_request_of_node_is_answered_by_node(shared_server, nats_js, name):
    with nats_js.started(shared_server.nats, "reply", name, "1"):
        [answer] = nats_js.run(shared_server.nats, "request", name, "hello")
    assert answer.payload == b"re: hello"


def test_a_request_of_node_that_nobody_listens_to_fails_at_once(shared_server, nats_js, name):
    with pytest.raises(ClientError, match="503"):
        nats_js.run(shared_server.nats, "request", name, "hello")
