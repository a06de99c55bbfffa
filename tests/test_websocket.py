"""WebSocket in front of a stream: the handshake, frames, and the same care as any connection gets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tracemalloc

import pytest
import uvloop
import websockets
from hypothesis import given
from hypothesis import strategies as st

import websocket_wire as wire
from hubbub.broker.timers import Timers
from hubbub.model.errors import InvalidSettingsError
from hubbub.server import websocket
from hubbub.server.acceptor import Acceptor
from hubbub.server.binding import bind_all, parse_endpoints
from hubbub.server.config import Config, ServerSection
from hubbub.server.frames import FrameOutbox
from hubbub.server.listeners import LISTENERS, OverWebSocket
from hubbub.server.server import Server
from hubbub.server.turn import Turn
from hubbub.server.websocket import MAX_FRAME_BYTES, WebSocketListener

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE
REGISTERED = OverWebSocket("toy", 9001, ("toy", "toyv1"))


class Toy:
    """A session that says back what it gets, and does what a test has it do."""

    def __init__(self, outbox):
        self.outbox = outbox
        self.paused = False
        self.got = bytearray()
        self.gone = asyncio.Event()

    def receive(self, data):
        self.got += data
        if data == b"fail":
            raise RuntimeError("a fault of ours")
        if data == b"pause":
            self.paused = True
        self.outbox.write(data)

    def resume(self):
        pass

    def disconnected(self):
        self.gone.set()


class ToyListener:
    name = "toy"
    default_port = 0

    def __init__(self, make=Toy):
        self.sessions = []
        self._make = make

    def session(self, peer, outbox):
        self.sessions.append(self._make(outbox))
        return self.sessions[-1]


class Served:
    """A listener with WebSocket in front of it, on a port of loopback."""

    def __init__(self, listener, limit, settings):
        loop = asyncio.get_running_loop()
        timers = Timers(loop.time(), 0)
        self.listener = listener
        self.connections = set()
        front = WebSocketListener("toy-ws", REGISTERED, listener, timers, settings)
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        turn = Turn(loop, timers)
        self._acceptor = Acceptor(loop, listening, front, turn, self.connections, limit)

    @property
    def session(self):
        return self.listener.sessions[0]

    def connect(self, **options):
        options = {"subprotocols": ["toy"], "compression": None, "max_size": None} | options
        return websockets.connect(f"ws://127.0.0.1:{self.port}/mqtt", **options)

    async def raw(self, sent=None, **options):
        """A connection that has sent this, by default a handshake that it has the answer to."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        writer.write(wire.request() if sent is None else sent)
        if sent is None:
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 101 ")
        return reader, writer

    async def say(self, sent):
        """All that is answered to this until the connection is closed, after the handshake."""
        reader, writer = await self.raw()
        writer.write(sent)
        answer = await reader.read()
        writer.close()
        return answer

    async def close(self):
        self._acceptor.close()
        connections = tuple(self.connections)
        for connection in connections:
            connection.close()
        await asyncio.gather(*(connection.gone for connection in connections))


@contextlib.asynccontextmanager
async def serving(listener=None, limit=100, **settings):
    served = Served(listener or ToyListener(), limit, settings)
    try:
        yield served
    finally:
        await served.close()


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request):
    def run_bounded(test):
        async def bounded():
            async with asyncio.timeout(30):
                await test()

        request.param(bounded())

    return run_bounded


async def received(client, size):
    """So many bytes of what binary frames carry."""
    got = b""
    while len(got) < size:
        got += await client.recv(decode=False)
    return got


# The handshake


def test_the_first_subprotocol_of_ours_that_is_offered_is_agreed_on(run):
    async def test():
        async with serving() as served:
            for offered, agreed in [
                (["toy"], "toy"),
                (["toyv1"], "toyv1"),
                (["other", "toyv1", "toy"], "toy"),
            ]:
                async with served.connect(subprotocols=offered) as client:
                    assert client.subprotocol == agreed
                    await client.send(b"hello")
                    assert await client.recv() == b"hello"

    run(test)


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost:9001\r\n\r\n", 426, b"speaks WebSocket"),
        (wire.request({"Upgrade": "h2c"}), 426, b"speaks WebSocket"),
        (wire.request({"Sec-WebSocket-Version": "8"}), 426, b"WebSocket 13"),
        (wire.request({"Sec-WebSocket-Protocol": None}), 400, b"offer toy or toyv1"),
        (wire.request({"Sec-WebSocket-Protocol": "toys, to"}), 400, b"offer toy or toyv1"),
        (wire.request({"Host": None}), 400, b"one Host"),
        (wire.request({"Host": "a\r\nHost: b"}), 400, b"one Host"),
        (wire.request({"Connection": "close"}), 400, b""),
        (wire.request({"Sec-WebSocket-Key": "short"}), 400, b""),
        (wire.request({"Sec-WebSocket-Key": None}), 400, b""),
        (wire.request(line="POST / HTTP/1.1"), 400, b"POST"),
        (wire.request(line="GET / HTTP/1.0"), 400, b"HTTP/1.0"),
        (wire.request(line="GET /"), 400, b""),
        (b"nonsense\r\n\r\n", 400, b""),
        (wire.request({"X": "y\r\n folded"}), 400, b""),
        (wire.request({"Content-Length": "5"}), 400, b""),
    ],
)
def test_what_is_no_handshake_of_ours_gets_an_http_error_that_says_why(run, sent, status, reason):
    async def test():
        async with serving() as served:
            reader, writer = await served.raw(sent)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert b"\r\nConnection: close" in head
            assert b"\r\nContent-Length: %d" % len(body) in head
            assert reason in body
            assert served.listener.sessions == []
            writer.close()

    run(test)


def test_a_refusal_for_the_version_names_the_one_there_is(run):
    async def test():
        async with serving() as served:
            reader, writer = await served.raw(wire.request({"Sec-WebSocket-Version": "8"}))
            assert b"\r\nSec-WebSocket-Version: 13\r\n" in await reader.read()
            writer.close()

    run(test)


def test_firefox_which_would_keep_the_connection_alive_is_understood(run):
    async def test():
        async with serving() as served:
            reader, writer = await served.raw(wire.request({"Connection": "keep-alive, Upgrade"}))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            writer.close()

    run(test)


def test_no_extension_is_agreed_on_least_of_all_compression(run):
    async def test():
        async with serving() as served, served.connect(compression="deflate") as client:
            assert "Sec-WebSocket-Extensions" in client.request.headers
            assert "Sec-WebSocket-Extensions" not in client.response.headers

    run(test)


@pytest.mark.parametrize(
    ("origin", "host", "origins", "status"),
    [
        (None, "127.0.0.1:9001", None, 101),
        ("http://localhost", "127.0.0.1:9001", None, 101),
        ("https://LOCALHOST:3000", "127.0.0.1:9001", None, 101),
        ("http://127.0.0.1:5173", "localhost:9001", None, 101),
        ("http://[::1]:8080", "[::1]:9001", None, 101),
        ("http://192.0.2.7:3000", "192.0.2.7:9001", None, 101),
        ("http://[2001:db8::1]", "[2001:db8::1]:9001", None, 101),
        ("http://192.0.2.8", "192.0.2.7:9001", None, 403),
        ("https://evil.example", "127.0.0.1:9001", None, 403),
        # A name that its owner has pointed here.
        ("http://evil.example:9001", "evil.example:9001", None, 403),
        ("http://localhost.evil.example", "127.0.0.1:9001", None, 403),
        ("http://evil.example/@localhost", "127.0.0.1:9001", None, 403),
        ("http://[localhost", "127.0.0.1:9001", None, 403),
        ("null", "127.0.0.1:9001", None, 403),
        ("http://a\r\nOrigin: http://localhost", "127.0.0.1:9001", None, 403),
        ("https://app.example", "broker.example", ["https://app.example"], 101),
        ("https://APP.example", "broker.example", "https://a.example, https://app.example/", 101),
        ("https://app.example:8443", "broker.example", ["https://app.example"], 403),
        ("http://localhost", "127.0.0.1:9001", ["https://app.example"], 403),
        ("https://evil.example", "127.0.0.1:9001", ["*"], 101),
        (None, "127.0.0.1:9001", ["https://app.example"], 101),
    ],
)
def test_only_web_pages_of_this_machine_or_of_listed_origins_may_connect(
    run, origin, host, origins, status
):
    settings = {} if origins is None else {"origins": origins}

    async def test():
        async with serving(**settings) as served:
            sent = wire.request({"Origin": origin, "Host": host})
            reader, writer = await served.raw(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status)
            writer.close()

    run(test)


def test_a_request_that_never_ends_is_read_no_further(run):
    async def test():
        async with serving() as served:
            reader, writer = await served.raw(b"GET / HTTP/1.1\r\nX: " + b"x" * MEBIBYTE)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    run(test)


def test_who_does_not_ask_in_time_is_let_go_and_who_did_may_be_silent(run, monkeypatch):
    monkeypatch.setattr(websocket, "HANDSHAKE_SECONDS", 0.05)

    async def test():
        async with serving() as served, served.connect() as client:
            reader, writer = await served.raw(wire.request()[:-2])
            assert await reader.read() == b""
            writer.close()
            await client.send(b"still here")
            assert await client.recv() == b"still here"

    run(test)


def test_connections_count_before_they_have_shaken_hands(run):
    async def test():
        async with serving(limit=2) as served:
            first = await served.raw(b"GET")
            reader, writer = await served.raw()
            late, late_writer = await asyncio.open_connection("127.0.0.1", served.port)
            with contextlib.suppress(ConnectionResetError):
                assert await late.read() == b""
            writer.write(wire.frame(wire.BINARY, b"hi"))
            assert wire.frames(await reader.readexactly(4)) == [(wire.BINARY, b"hi")]
            for each in (first[1], writer, late_writer):
                each.close()

    run(test)


# Frames


@pytest.mark.parametrize("piece", [1, 7, 6 * KIBIBYTE, 1_000_000])
def test_a_session_gets_the_stream_that_frames_carry_however_it_is_cut(run, piece):
    parts = [b"a", b"", b"b" * 125, b"c" * 126, b"d" * 70_000, b"e"]
    sent = b"".join(wire.frame(wire.BINARY, part) for part in parts[:4])
    sent += wire.frame(wire.BINARY, parts[4], first=0)
    sent += wire.frame(wire.PING, b"in between")
    sent += wire.frame(wire.CONTINUATION, parts[5])
    sent = sent[:2000] if piece == 1 else sent
    whole = b"".join(parts)[: 252 if piece == 1 else None]

    async def test():
        async with serving() as served:
            reader, writer = await served.raw()
            for at in range(0, len(sent), piece):
                writer.write(sent[at : at + piece])
                await writer.drain()
            writer.write_eof()
            answer = await reader.read()
            assert served.session.got == whole
            assert wire.carried(answer) == whole
            writer.close()

    run(test)


def test_frames_that_follow_the_request_at_once_are_not_lost(run):
    async def test():
        async with serving() as served:
            early = wire.frame(wire.BINARY, b"early") + wire.frame(wire.CLOSE)
            reader, writer = await served.raw(wire.request() + early)
            _, _, stream = (await reader.read()).partition(b"\r\n\r\n")
            assert wire.frames(stream)[0] == (wire.BINARY, b"early")
            writer.close()

    run(test)


def test_what_is_written_in_one_turn_leaves_in_one_frame(run):
    async def test():
        async with serving() as served, served.connect() as client:
            await client.send(b"x")
            assert await client.recv() == b"x"
            for number in range(100):
                served.session.outbox.write(b"%d," % number)
            assert (await client.recv()).count(b",") == 100

    run(test)


def test_a_ping_is_answered_with_what_it_carried(run):
    async def test():
        async with serving() as served, served.connect() as client:
            await (await client.ping(b"payload"))
            await client.send(b"and it goes on")
            assert await client.recv() == b"and it goes on"

    run(test)


def test_pings_that_come_together_are_answered_with_the_last(run):
    async def test():
        async with serving() as served:
            pings = b"".join(wire.frame(wire.PING, b"%d" % number) for number in range(10_000))
            reader, writer = await served.raw()
            writer.write(pings + BEFORE)
            stream = b""
            while b"9999" not in stream or b"before" not in stream:
                stream += await reader.read(1000)
            assert len([opcode for opcode, _ in wire.frames(stream) if opcode == wire.PONG]) < 100
            writer.close()

    run(test)


BEFORE = wire.frame(wire.BINARY, b"before")
# Neither may any of these be carried out, nor what follows them.
AFTER = wire.frame(wire.BINARY, b"after")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (wire.frame(wire.TEXT, b"text"), 1003),
        (wire.frame(wire.CONTINUATION, b"of nothing"), 1002),
        (wire.frame(wire.BINARY, b"", first=0) + wire.frame(wire.BINARY, b"another"), 1002),
        (wire.frame(wire.BINARY, b"compressed", first=0xC0), 1002),
        (wire.frame(3, b"of no known kind"), 1002),
        (wire.frame(wire.PING, b"in fragments", first=0), 1002),
        (wire.frame(wire.PING, b"x" * 126), 1002),
        (b"\x82\x05plain", 1002),
        (wire.frame(wire.BINARY, length=MAX_FRAME_BYTES + 1), 1009),
        (wire.frame(wire.BINARY, length=2**62), 1009),
        (wire.frame(wire.BINARY, length=2**63), 1002),
    ],
    ids=str,
)
@pytest.mark.parametrize("together", [True, False])
def test_what_breaks_the_rules_ends_the_connection_with_the_code_for_it(run, sent, code, together):
    async def test():
        async with serving() as served:
            reader, writer = await served.raw()
            writer.write(BEFORE + sent + AFTER if together else BEFORE)
            echo = await reader.readexactly(2 + len("before"))
            if not together:
                writer.write(sent)
            answer = echo + await reader.read()
            assert wire.carried(answer) == b"before"
            assert wire.close_code(answer) == code
            await served.session.gone.wait()
            assert served.session.got == b"before"
            writer.close()

    run(test)


def test_a_length_is_no_reason_to_reserve_memory(run):
    async def test():
        async with serving() as served:
            peers = [await served.raw() for _ in range(50)]
            tracemalloc.start()
            for _, writer in peers:
                writer.write(wire.frame(wire.BINARY, b"begun", length=MAX_FRAME_BYTES))
            async with served.connect() as client:
                await client.send(b"after them")
                assert await client.recv() == b"after them"
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < MAX_FRAME_BYTES
            for _, writer in peers:
                writer.close()

    run(test)


def test_who_was_not_answered_yet_may_have_little_of_a_frame_kept(run):
    class Silent(Toy):
        def receive(self, data):
            self.got += data
            if data.endswith(b"?"):
                self.outbox.write(b"welcome")

    async def test():
        async with serving(ToyListener(Silent)) as served:
            async with served.connect() as client:
                await client.send(bytes(128 * KIBIBYTE))
                await client.ping()
                await client.send(bytes(512 * KIBIBYTE))
                with contextlib.suppress(websockets.ConnectionClosedError):
                    await client.recv()
                assert client.close_code == 1009
            async with served.connect() as client:
                await client.send(b"?")
                assert await client.recv(decode=False) == b"welcome"
                await client.send(bytes(512 * KIBIBYTE) + b"?")
                assert await client.recv(decode=False) == b"welcome"

    run(test)


def test_who_begins_with_the_answer_under_way_may_go_on_at_once(run):
    async def test():
        async with serving() as served, served.connect() as client:
            await client.send([b"hello", bytes(512 * KIBIBYTE)])
            assert await received(client, 5 + 512 * KIBIBYTE) == b"hello" + bytes(512 * KIBIBYTE)

    run(test)


def test_a_frame_may_be_as_large_as_is_set_and_no_larger(run):
    async def test():
        async with serving(max_frame_size="1000") as served, served.connect() as client:
            await client.send(bytes(1000))
            assert await received(client, 1000) == bytes(1000)
            await client.send(bytes(1001))
            with pytest.raises(websockets.ConnectionClosedError):
                await client.recv()
            assert client.close_code == 1009

    run(test)


# The end


def test_who_says_goodbye_hears_the_answers_and_then_goodbye(run):
    async def test():
        async with serving() as served:
            goodbye = wire.frame(wire.CLOSE, b"\x03\xe9") + AFTER
            answer = await served.say(BEFORE + goodbye)
            assert wire.carried(answer) == b"before"
            assert wire.close_code(answer) == 1000
            assert served.session.got == b"before"

    run(test)


def test_a_session_that_ends_the_connection_has_its_last_word_heard(run):
    async def test():
        async with serving() as served, served.connect() as client:
            await client.send(b"x")
            assert await client.recv() == b"x"
            served.session.outbox.write(b"last word")
            served.session.outbox.close()
            served.session.outbox.write(b"too late")
            assert await client.recv() == b"last word"
            with pytest.raises(websockets.ConnectionClosedOK):
                await client.recv()
            await served.session.gone.wait()

    run(test)


def test_a_peer_that_goes_without_a_word_is_let_go(run):
    async def test():
        async with serving() as served:
            reader, writer = await served.raw()
            writer.write(BEFORE)
            await reader.readexactly(2 + len("before"))
            writer.transport.abort()
            await served.session.gone.wait()
            assert served.connections == set()

    run(test)


def test_an_aborted_outbox_closes_its_connection_at_once(run):
    async def test():
        async with serving() as served, served.connect() as client:
            await client.send(b"x")
            assert await client.recv() == b"x"
            served.session.outbox.write(b"dropped")
            served.session.outbox.abort()
            with pytest.raises(websockets.ConnectionClosedError):
                await client.recv()

    run(test)


def test_a_fault_of_ours_ends_one_connection_only(run, caplog):
    async def test():
        async with serving() as served, served.connect() as bad, served.connect() as good:
            await bad.send(b"fail")
            with pytest.raises(websockets.ConnectionClosed):
                await bad.recv()
            await good.send(b"hello")
            assert await good.recv() == b"hello"
            await served.session.gone.wait()

    run(test)
    assert "session failed" in caplog.text


def test_what_clients_do_wrong_is_no_error_of_the_servers(run, caplog):
    async def test():
        async with serving() as served:
            await served.say(b"\x82\x05plain")

    run(test)
    assert caplog.text == ""


# Who is slow


def test_a_paused_session_is_not_read_from_until_there_is_room(run):
    async def test():
        async with serving() as served, served.connect() as client:
            await client.send(b"pause")
            assert await client.recv() == b"pause"
            await client.send(b"later")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), 0.1)
            served.session.paused = False
            served.session.outbox.write(b"room")
            assert await received(client, 9) == b"roomlater"

    run(test)


async def until_nothing_moves(amount):
    """What is got once no more comes."""
    seen = -1
    while seen != amount():
        seen = amount()
        await asyncio.sleep(0.05)
    return seen


def test_a_peer_that_leaves_its_answers_unread_is_read_from_no_further(run):
    async def test():
        async with serving() as served:
            reader, writer = await served.raw(limit=1000)
            sent = wire.frame(wire.BINARY, b"x" * 1000)
            writer.write(sent * 40_000)
            await until_nothing_moves(lambda: len(served.listener.sessions))
            seen = await until_nothing_moves(lambda: len(served.session.got))
            assert seen < 20_000_000
            writer.write_eof()
            assert wire.carried(await reader.read()) == b"x" * 40_000_000
            writer.close()

    run(test)


def test_what_the_socket_does_not_take_at_once_follows_in_order(run):
    payload = bytes(range(256)) * 4096 * 8  # more than any socket buffer

    async def test():
        async with serving() as served, served.connect() as client:
            await client.send(b"x")
            assert await client.recv() == b"x"
            for at in range(0, len(payload), 100_000):
                served.session.outbox.write(payload[at : at + 100_000])
                served.session.outbox.write(b"small")
            count = -(-len(payload) // 100_000)
            got = await received(client, len(payload) + 5 * count)
            assert got.replace(b"small", b"") == payload

    run(test)


def test_a_slow_consumer_gets_whole_messages_and_then_its_protocols_own_word(run, caplog):
    # Of a frame that is begun the rest is one message in part and another one that is small.
    messages = [b"(" + b"m" * 50_000 + b")", b"(small)"]

    async def test():
        async with serving() as served:
            reader, writer = await served.raw(limit=1000)
            writer.write(wire.frame(wire.BINARY, b"x"))
            assert await reader.readexactly(3) == b"\x82\x01x"
            outbox = served.session.outbox
            outbox.limit = MEBIBYTE
            outbox.farewell = b"farewell"
            while not outbox.overflowed:
                for message in messages:
                    outbox.push(message)
                await asyncio.sleep(0)
            stream = await reader.read()
            whole = wire.carried(stream).removesuffix(b"farewell")
            assert len(whole) < len(wire.carried(stream))
            assert whole.endswith(b")")
            assert (b"".join(messages) * 1000).startswith(whole)
            assert wire.close_code(stream) == 1000
            await served.session.gone.wait()
            writer.close()

    run(test)
    assert "slow consumer disconnected" in caplog.text


# What waits to be sent


def framing():
    outbox = FrameOutbox(lambda: None)
    outbox.write(b"HTTP/1.1 101\r\n\r\n")
    outbox.start_framing()
    return outbox


@given(st.lists(st.integers(0, 5000) | st.integers(60_000, 150_000), max_size=50))
def test_what_frames_carry_is_what_was_written(sizes):
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)]
    outbox = framing()
    for chunk in chunks:
        outbox.write(chunk)
    head, _, stream = b"".join(outbox.take()).partition(b"\r\n\r\n")
    assert head == b"HTTP/1.1 101"
    assert wire.carried(stream) == b"".join(chunks)
    assert outbox.size == 0
    assert outbox.take() == []


def test_what_is_large_is_shared_inside_frames_too():
    outbox = framing()
    large = b"x" * 10_000
    outbox.write(large)
    assert any(chunk is large for chunk in outbox.take())


def test_control_frames_stand_between_frames_and_the_close_frame_ends_it_all():
    outbox = framing()
    outbox.write(b"data")
    outbox.write_control(b"\x8a\x01a")
    outbox.write_control(b"\x8a\x01b")
    outbox.close()
    outbox.write_control(b"\x8a\x01c")
    stream = b"".join(outbox.take()).partition(b"\r\n\r\n")[2]
    kinds = [opcode for opcode, _ in wire.frames(stream)]
    assert kinds == [wire.PONG, wire.PONG, wire.BINARY, wire.CLOSE]
    assert outbox.take() == []


# The server


@pytest.fixture
def nats_ws(monkeypatch):
    monkeypatch.setitem(LISTENERS, "nats-ws", OverWebSocket("nats", 8443, ("nats",)))


def start(listen):
    endpoints = parse_endpoints(listen)
    names = [endpoint.listener for endpoint in endpoints]
    return dict(zip(names, bind_all(endpoints), strict=True))


async def nats_over_websocket(server):
    return await websockets.connect(f"ws://{server.bound['nats-ws']}", subprotocols=["nats"])


@pytest.mark.parametrize("listen", ["nats=:0,nats-ws=:0", "nats-ws=:0,nats=:0"])
def test_both_ways_lead_to_one_listener(run, nats_ws, listen):
    async def test():
        server = Server(Config(server=ServerSection(memory=True)))
        await server.start(start(listen))
        client = await nats_over_websocket(server)
        assert (await client.recv(decode=False)).startswith(b"INFO ")
        await client.send(b'CONNECT {"verbose":false}\r\nSUB a 1\r\nPING\r\n')
        assert await client.recv(decode=False) == b"PONG\r\n"
        host, _, port = server.bound["nats"].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        ids = [await reader.readline()]
        writer.write(b'CONNECT {"verbose":false}\r\nPUB a 5\r\nhello\r\nPING\r\n')
        while await reader.readline() != b"PONG\r\n":
            pass
        assert await client.recv(decode=False) == b"MSG a 1 5\r\nhello\r\n"
        assert b'"client_id":2' in ids[0]
        writer.close()
        await server.stop()
        await client.wait_closed()
        assert client.close_code == 1000

    run(test)


def test_websocket_alone_has_a_listener_of_its_own_with_its_protocols_settings(run, nats_ws):
    config = Config(server=ServerSection(memory=True), listeners={"nats": {"max_payload": 77}})

    async def test():
        server = Server(config)
        await server.start(start("nats-ws=:0"))
        assert server.bound.keys() == {"nats-ws"}
        client = await nats_over_websocket(server)
        assert b'"max_payload":77' in await client.recv(decode=False)
        await server.stop()
        await client.wait_closed()

    run(test)


@pytest.mark.parametrize("settings", [{"max_frame_size": "much"}, {"max_frame_size": 0}, {"x": 1}])
def test_a_setting_that_means_nothing_is_refused(settings):
    with pytest.raises(InvalidSettingsError, match=next(iter(settings))):
        WebSocketListener("toy-ws", REGISTERED, ToyListener(), Timers(), settings)
