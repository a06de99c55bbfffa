"""Sockets and sessions on a real loop: who is read from, how much, and what a slow peer gets."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
import uvloop

from held_log import HeldLog
from hubbub.broker.broker import Broker
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.model.address import Address
from hubbub.protocols.nats.listener import NatsListener
from hubbub.protocols.redis.listener import RedisListener
from hubbub.server.acceptor import Acceptor
from hubbub.server.connection import READ_BYTES
from hubbub.server.turn import Turn
from redis_double import request

MEBIBYTE = 1024 * 1024


class Noting:
    """A session that notes how much it got at once, and delivers what the test says."""

    def __init__(self, outbox, deliver):
        self.outbox = outbox
        self.paused = False
        self.sizes = []
        self._deliver = deliver

    def receive(self, data):
        self.sizes.append(len(data))
        self._deliver(self, data)

    def resume(self):
        pass

    def disconnected(self):
        pass


class NotingListener:
    name = "noting"
    default_port = 0

    def __init__(self, deliver):
        self.sessions = []
        self._deliver = deliver

    def session(self, peer, outbox):
        self.sessions.append(Noting(outbox, self._deliver))
        return self.sessions[-1]


@contextlib.asynccontextmanager
async def serving(make_listener):
    """The port of a listener on a turn of this loop."""
    loop = asyncio.get_running_loop()
    timers = Timers(loop.time(), 0)
    listener = make_listener(timers)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    port = listening.getsockname()[1]
    connections = set()
    acceptor = Acceptor(loop, listening, listener, Turn(loop, timers), connections, 100)
    try:
        yield listener, port
    finally:  # also where a test fails: no descriptor of its own outlives it
        acceptor.close()
        open_now = tuple(connections)
        for connection in open_now:
            connection.close()
        await asyncio.gather(*(connection.gone for connection in open_now))


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request):
    def run_bounded(test):
        async def bounded():
            async with asyncio.timeout(30):
                await test()

        request.param(bounded())

    return run_bounded


def redis_on(timers):
    return RedisListener(Broker(MemoryLog(), timers))


def test_one_fast_publisher_lets_others_have_their_turn(run):
    """However much of it waits to be read, an answer to somebody else is one chunk away."""

    async def test():
        async with serving(redis_on) as (listener, port):
            _, fast = await asyncio.open_connection("127.0.0.1", port)
            reader, other = await asyncio.open_connection("127.0.0.1", port)
            other.write(b"PING\r\n")
            await reader.readline()
            fast.write(request("PUBLISH", "a", "x" * 100) * 200_000)
            before, most = listener.publisher.input_bytes, 0
            for _ in range(20):
                other.write(b"PING\r\n")
                assert await reader.readline() == b"+PONG\r\n"
                now = listener.publisher.input_bytes
                # A chunk a turn, and the client's own part in it takes turns of this loop too.
                most = max(most, now - before)
                before = now
            fast.transport.abort()
            other.close()
            assert most <= 12 * READ_BYTES

    run(test)


def test_who_sets_much_going_is_read_from_in_smaller_pieces_and_again_in_larger_ones(run):
    async def test():
        factor = [1000]

        def fan_out(session, data):
            # As many bytes for each one received as a thousand subscribers would get.
            for _ in range(factor[0]):
                if not session.outbox.push(bytes(len(data))):
                    return
                session.outbox.take()

        async with serving(lambda _: NotingListener(fan_out)) as (listener, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(bytes(2 * MEBIBYTE))
            await writer.drain()
            writer.write_eof()
            assert await reader.read() == b""
            sizes = listener.sessions[0].sizes
            assert sum(sizes) == 2 * MEBIBYTE
            writer.close()
            after_first = sizes[1:]
            assert max(after_first[1:]) * factor[0] <= 2 * 16 * MEBIBYTE
            factor[0] = 0
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(bytes(4 * MEBIBYTE))
            await writer.drain()
            writer.write_eof()
            assert await reader.read() == b""
            assert max(listener.sessions[1].sizes) > 64 * 1024
            writer.close()

    run(test)


def test_what_the_socket_does_not_take_at_once_follows_in_order(run):
    payload = bytes(range(256)) * 4096 * 16  # 16 MiB: more than any socket buffer

    def answer(session, data):
        for at in range(0, len(payload), 100_000):
            session.outbox.write(payload[at : at + 100_000])
        session.outbox.write(b"small")

    async def test():
        async with serving(lambda _: NotingListener(answer)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
            writer.write(b"go")
            assert await reader.readexactly(len(payload) + 5) == payload + b"small"
            writer.close()

    run(test)


def test_a_peer_that_has_said_all_still_hears_the_answer(run):
    async def test():
        async with serving(redis_on) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"PING\r\n")
            writer.write_eof()
            assert await reader.read() == b"+PONG\r\n"
            writer.close()

    run(test)


def test_a_peer_that_leaves_its_answers_unread_is_read_from_no_further(run):
    async def test():
        async with serving(redis_on) as (listener, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
            echo = request("ECHO", "x" * 1000)
            writer.write(echo * 40_000)
            seen = -1
            while seen != listener.publisher.input_bytes:  # until nothing moves any more
                seen = listener.publisher.input_bytes
                await asyncio.sleep(0.05)
            assert seen < len(echo) * 40_000 // 2
            for _ in range(40_000):
                assert await reader.readexactly(1009) == b"$1000\r\n" + b"x" * 1000 + b"\r\n"
            writer.close()

    run(test)


def test_a_slow_nats_consumer_gets_whole_messages_and_then_its_protocols_own_word(run, caplog):
    def nats_on(timers):
        return NatsListener(Broker(MemoryLog(), timers), {"max_pending": MEBIBYTE})

    async def test():
        async with serving(nats_on) as (listener, port):
            slow = socket.create_connection(("127.0.0.1", port))
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            slow.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(slow, b'CONNECT {"verbose":false}\r\nSUB a 1\r\nPING\r\n')
            heard = b""
            while not heard.endswith(b"PONG\r\n"):
                heard += await loop.sock_recv(slow, 4096)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b'CONNECT {"verbose":false}\r\n')
            while not listener.slow_consumers:
                writer.write((b"PUB a 1000\r\n" + b"x" * 1000 + b"\r\n") * 500 + b"PING\r\n")
                while await reader.readline() != b"PONG\r\n":
                    pass
            stream = b""
            while chunk := await loop.sock_recv(slow, MEBIBYTE):
                stream += chunk
            message = b"MSG a 1 1000\r\n" + b"x" * 1000 + b"\r\n"
            count, rest = divmod(len(stream), len(message))
            assert stream == message * count + stream[-rest:]
            assert stream[-rest:] == b"-ERR 'Slow Consumer'\r\n"
            writer.close()
            slow.close()

    run(test)
    assert "slow consumer disconnected" in caplog.text


def test_a_slow_consumer_that_never_comes_back_is_let_go(run):
    async def test():
        arrived = asyncio.Event()
        make = lambda _: NotingListener(lambda session, data: arrived.set())  # noqa: E731
        async with serving(make) as (listener, port):
            peer = socket.create_connection(("127.0.0.1", port))
            peer.sendall(b"x")
            await asyncio.wait_for(arrived.wait(), 10)
            outbox = listener.sessions[0].outbox
            outbox.farewell = b"bye"
            gone = asyncio.get_running_loop().create_future()
            listener.sessions[0].disconnected = lambda: gone.set_result(None)
            outbox.write(bytes(16 * MEBIBYTE))
            await asyncio.sleep(0.05)  # until the socket takes no more
            outbox.write(b"what comes then is told to nobody")
            await asyncio.sleep(0.05)
            outbox.overflow()
            await gone
            peer.close()

    run(test)


def test_a_peer_that_has_said_all_hears_what_waits_for_the_disk(run):
    log = HeldLog()

    def stored_on(timers):
        broker = Broker(log, timers)
        broker.create_topic(Address("stored"), 1)
        log.sync()
        return RedisListener(broker)

    async def test():
        waiting = asyncio.Event()
        async with serving(stored_on) as (_, port):
            for partition in log.partitions.values():
                partition.on_wait = waiting.set
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request("PUBLISH", "stored", "x"))
            writer.write_eof()
            await waiting.wait()
            await asyncio.sleep(0.05)  # the end of its input is noticed meanwhile
            log.sync()
            assert await reader.read() == b":0\r\n"
            writer.close()

    run(test)
