"""The server floor: turns, connections, group commit, and a process that starts and stops in good order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
import redis

import hubbub
from hubbub.broker.timers import Timers
from hubbub.model.address import parse_address
from hubbub.server.acceptor import Acceptor
from hubbub.server.binding import bind_all, parse_endpoints
from hubbub.server.committer import Committer
from hubbub.server.config import Config, ServerSection, SubscriptionConfig, TopicConfig
from hubbub.server.server import Server
from hubbub.server.turn import Turn
from serving import ServerProcess

if TYPE_CHECKING:
    from hubbub.broker.outbox import Outbox
    from hubbub.server.connection import Connection


class Echo:
    """A session that answers what it gets, and pauses when it is told to."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.paused = False
        self.resumed = 0
        self.gone = False

    def receive(self, data: bytes) -> None:
        if data == b"fail":
            raise RuntimeError("a fault of ours")
        if data == b"pause":
            self.paused = True
        self.outbox.write(data)

    def resume(self) -> None:
        self.resumed += 1

    def disconnected(self) -> None:
        self.gone = True


class EchoListener:
    name = "echo"
    default_port = 0

    def __init__(self) -> None:
        self.sessions: list[Echo] = []

    def session(self, peer, outbox) -> Echo:
        self.sessions.append(Echo(outbox))
        return self.sessions[-1]


@contextlib.asynccontextmanager
async def serving(limit: int = 100):
    loop = asyncio.get_running_loop()
    turn, listener = Turn(loop, Timers()), EchoListener()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    port = listening.getsockname()[1]
    open_connections: set[Connection] = set()
    acceptor = Acceptor(loop, listening, listener, turn, open_connections, limit)
    yield listener, port, turn
    acceptor.close()
    for connection in tuple(open_connections):
        connection.close()
    await asyncio.gather(*(connection.gone for connection in open_connections))


def run(test) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())


def test_a_fault_of_ours_ends_one_connection_only(caplog):
    async def test():
        async with serving() as (listener, port, _):
            bad_reader, bad = await asyncio.open_connection("127.0.0.1", port)
            reader, good = await asyncio.open_connection("127.0.0.1", port)
            bad.write(b"fail")
            assert await bad_reader.read() == b""
            good.write(b"hello")
            assert await reader.read(5) == b"hello"
            assert listener.sessions[0].gone
            good.close()
            bad.close()

    run(test)
    assert "session failed" in caplog.text


def test_a_fault_while_one_session_resumes_leaves_the_others_their_output(caplog):
    async def test():
        async with serving() as (listener, port, _):
            bad_reader, bad = await asyncio.open_connection("127.0.0.1", port)
            reader, good = await asyncio.open_connection("127.0.0.1", port)
            bad.write(b"pause")
            assert await bad_reader.read(5) == b"pause"
            good.write(b"x")
            assert await reader.read(1) == b"x"
            broken, fine = listener.sessions
            broken.paused = False
            broken.resume = lambda: 1 // 0
            broken.outbox.write(b"first")
            fine.outbox.write(b"second")
            assert await reader.read(6) == b"second"
            assert await bad_reader.read() == b"first"
            good.close()
            bad.close()

    run(test)
    assert "ZeroDivisionError" in caplog.text


def test_a_paused_session_is_not_read_from_until_there_is_room(caplog):
    async def test():
        async with serving() as (listener, port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"pause")
            assert await reader.read(5) == b"pause"
            session = listener.sessions[0]
            writer.write(b"later")
            await writer.drain()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(5), 0.1)
            session.paused = False
            session.outbox.write(b"room")
            assert await reader.readexactly(9) == b"roomlater"
            assert session.resumed == 1
            writer.close()

    run(test)


def test_connections_beyond_the_limit_are_turned_away():
    async def test():
        async with serving(limit=2) as (_, port, _turn):
            kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            for reader, writer in kept:
                writer.write(b"x")
                assert await reader.read(1) == b"x"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            for _, kept_writer in [*kept, (reader, writer)]:
                kept_writer.close()

    run(test)


def test_what_many_wrote_in_one_turn_leaves_in_one_write_each():
    async def test():
        async with serving() as (listener, port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x")
            assert await reader.read(1) == b"x"
            outbox = listener.sessions[0].outbox
            for _ in range(100):
                outbox.write(b"0123456789")
            assert await reader.read(5000) == b"0123456789" * 100
            writer.close()

    run(test)


def test_an_aborted_outbox_closes_its_connection_at_once():
    async def test():
        async with serving() as (listener, port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x")
            assert await reader.read(1) == b"x"
            listener.sessions[0].outbox.write(b"dropped")
            listener.sessions[0].outbox.overflow()
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    run(test)


class CountingLog:
    """A log whose syncs count and take as long as the test wants."""

    def __init__(self) -> None:
        self.on_dirty = lambda: None
        self.pending = 0
        self.syncs: list[int] = []
        self.durable = 0

    def append(self) -> None:
        self.pending += 1
        if self.pending == 1:
            self.on_dirty()

    def begin_sync(self):
        if not self.pending:
            return None
        covered, self.pending = self.pending, 0
        log = self

        class Sync:
            def run(self) -> None:
                pass

            def note(self) -> None:
                pass

            def finish(self) -> None:
                log.syncs.append(covered)
                log.durable += covered

        return Sync()


def test_one_sync_covers_all_that_was_appended_in_a_turn_and_the_next_follows_by_itself():
    async def test():
        log, loop = CountingLog(), asyncio.get_running_loop()
        committer = Committer(loop, log, Turn(loop, Timers()))
        await committer.drain()
        for _ in range(50):
            log.append()
        await committer.drain()
        assert log.syncs == [50]
        log.append()
        await committer.drain()
        assert (log.syncs, log.durable) == ([50, 1], 51)
        committer.close()

    run(test)


def test_configured_topics_and_subscriptions_are_there_before_any_client():
    """Item 104: a static subscription keeps messages for consumers that are yet to come."""
    config = Config(
        server=ServerSection(memory=True),
        topics=[TopicConfig(name="orders", partitions=4)],
        subscriptions=[SubscriptionConfig(name="billing", topic="orders")],
    )

    async def test():
        server = Server(config)
        endpoints = parse_endpoints("redis=127.0.0.1:0")
        await server.start({"redis": bind_all(endpoints)[0]})
        port = int(server.bound["redis"].rpartition(":")[2])
        await asyncio.to_thread(publish, port)
        topic = server.broker.topics.get(parse_address("orders"))
        assert len(topic.partitions) == 4
        assert server.broker.subscriptions.get("billing", topic).lag == 1
        await server.stop()

    def publish(port: int) -> None:
        client = redis.Redis(port=port)
        client.publish("orders", b"kept")
        client.close()

    run(test)


@pytest.mark.server
def test_a_stopped_server_has_written_everything_it_acknowledged(tmp_path):
    with ServerProcess(tmp_path) as server:
        client = redis.Redis(port=server.ports["redis"])
        with hubbub.Broker.connect(server.url) as broker:
            broker.create_topic("kept")
            for number in range(100):
                client.publish("kept", b"%d" % number)
        client.close()
        assert server.stop() == 0
        server.start()
        with hubbub.Broker.connect(server.url) as broker:
            messages = iter(broker.subscribe("kept", start="beginning"))
            assert [next(messages).value for _ in range(100)] == [b"%d" % n for n in range(100)]


@pytest.mark.server
def test_a_client_that_keeps_its_connection_open_does_not_keep_the_server_from_stopping(tmp_path):
    with (
        ServerProcess(tmp_path) as server,
        socket.create_connection(("127.0.0.1", server.ports["redis"])) as idle,
    ):
        idle.sendall(b"PING\r\n")
        assert idle.recv(10) == b"+PONG\r\n"
        assert server.stop() == 0
        assert idle.recv(10) == b""
