"""A broker that is connected to: finding the server, losing it, and finding it again."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import pytest

from bus_backends import WAIT, Box
from hubbub import Broker, ClosedError, ConnectionLostError
from hubbub.bus.outgoing import MAX_UNSENT_BYTES, NOTICE, Outgoing
from hubbub.model.errors import HubbubError, InvalidSettingsError, MessageTooLargeError
from hubbub.protocols.bus import codec
from loopback_server import LoopbackServer


@pytest.fixture
def server(tmp_path):
    """A server that can be stopped and started again, with its data in a directory."""
    found = LoopbackServer(tmp_path)
    found.start()
    yield found
    found.stop()


def wait_until_noticed(subscription):
    """Until the client knows that the server is gone, which nothing else tells."""
    while not subscription.connection:
        pass


def publish_until_heard(broker, address, subscription):
    """Live messages are lost while a connection is down; one that arrives shows that it is up."""
    while True:
        broker.publish(address, b"are you there?")
        try:
            return subscription.get(0.1)
        except TimeoutError:
            continue


def test_the_url_may_come_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("HUBBUB_URL", server.url)
    with Broker.connect() as broker:
        assert broker.topics() == []


@pytest.mark.parametrize(
    "url",
    ["redis://127.0.0.1", "127.0.0.1:8221", "hubbub://h:port", "hubbub://user@h", "hubbub://h/x"],
)
def test_what_is_no_url_is_refused(url):
    with pytest.raises(InvalidSettingsError):
        Broker.connect(url)


def test_no_server_is_an_error_that_names_the_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionLostError, match=f"127.0.0.1:{port}"):
        Broker.connect(f"hubbub://127.0.0.1:{port}")


def test_a_server_that_does_not_answer_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ConnectionLostError, match="no answer"):
            Broker.connect(f"hubbub://127.0.0.1:{port}", timeout=0.05)


@contextlib.contextmanager
def false_server(*answers):
    """Answers what it receives with ``answers``, one after the other, and hangs up."""

    def serve():
        connection, _ = listening.accept()
        for answer in answers:
            connection.recv(1000)
            connection.sendall(answer)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"hubbub://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


WELCOME = codec.frame(codec.Welcome(1, codec.VERSION))


def test_a_server_of_another_kind_is_recognised():
    greeting = b"220 mail.example.com ESMTP\r\n"
    with false_server(greeting) as url, pytest.raises(ConnectionLostError, match="no hubbub"):
        Broker.connect(url)


def test_a_call_that_the_server_took_with_it_fails():
    with (
        false_server(WELCOME, b"") as url,
        Broker.connect(url) as broker,
        pytest.raises(ConnectionLostError),
    ):
        broker.publish("t", b"x")


def test_a_server_that_breaks_the_protocol_is_left():
    nonsense = struct.pack(">I", 1) + b"\xc1"
    with (
        false_server(WELCOME, nonsense) as url,
        Broker.connect(url) as broker,
        pytest.raises(ConnectionLostError, match="no hubbub"),
    ):
        broker.topics()


def test_the_servers_last_word_is_the_reason():
    refusal = codec.frame(codec.Failed(0, "FrameError", "this server speaks version 9"))
    with false_server(refusal) as url, pytest.raises(ConnectionLostError, match="version 9"):
        Broker.connect(url)


def test_the_client_has_a_name_in_listings(server):
    with Broker.connect(server.url, name="billing") as broker:
        broker.subscribe("t")
        assert [(who.protocol, who.client) for who in broker.subscribers("t")] == [
            ("bus", "billing")
        ]


def test_what_one_client_publishes_the_others_get(server):
    with Broker.connect(server.url) as one, Broker.connect(server.url) as other:
        box = Box()
        other.subscribe("t", box)
        one.publish("t", {"n": 1})
        (message,) = box.take(1)
        assert message.json() == {"n": 1}
        assert message.payload == {"n": 1}


def test_what_was_published_before_a_close_is_published(server):
    """Also while its answers are still on their way: the end is said, and not torn."""
    with Broker.connect(server.url) as subscriber:
        box = Box()
        subscriber.subscribe("numbers", box)
        for _ in range(20):
            with Broker.connect(server.url) as publisher:
                under_way = [publisher.publish_soon("numbers", b"1") for _ in range(1000)]
            assert all(each.done() and each.exception() is None for each in under_way)
        assert len(box.take(20_000)) == 20_000


def test_a_close_does_not_wait_for_a_server_that_is_gone():
    """Not for what was never sent either, because the server had stopped reading."""

    def serve():
        connection, _ = listening.accept()
        connection.recv(1000)
        connection.sendall(WELCOME)
        is_closing.wait(WAIT)
        connection.close()

    is_closing = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve)
        serving.start()
        url = f"hubbub://127.0.0.1:{listening.getsockname()[1]}"
        broker = Broker.connect(url, timeout=10 * WAIT)
        under_way = [broker.publish_soon("t", bytes(1024 * 1024)) for _ in range(20)]
        closing = threading.Thread(target=broker.close, daemon=True)
        closing.start()
        while not broker._backend._closed:
            pass
        is_closing.set()
        serving.join()
        closing.join(WAIT)
        assert not closing.is_alive()
        assert all(isinstance(each.exception(0), HubbubError) for each in under_way)


def test_a_frame_that_the_server_would_not_take_is_not_sent(server):
    with Broker.connect(server.url) as broker:
        with pytest.raises(MessageTooLargeError):
            broker.publish("t", b"x" * (17 * 1024 * 1024))
        assert broker.topics() == []


def test_calls_made_while_there_is_no_server_wait_for_it(server):
    with Broker.connect(server.url) as broker:
        broker.create_topic("t")
        server.stop()
        result = []
        thread = threading.Thread(target=lambda: result.append(broker.publish("t", b"x")))
        thread.start()
        server.start()
        thread.join(WAIT)
        assert result[0].stored[0].offset == 0


def test_calls_give_up_when_the_server_stays_away(server):
    with Broker.connect(server.url, timeout=0.2) as broker:
        subscription = broker.subscribe("t")
        server.stop()
        wait_until_noticed(subscription)
        with pytest.raises(ConnectionLostError, match="no connection"):
            broker.publish("t", b"x")


def test_live_subscriptions_are_made_again(server):
    with Broker.connect(server.url) as broker:
        subscription = broker.subscribe("t")
        server.stop()
        server.start()
        assert publish_until_heard(broker, "t", subscription).value == b"are you there?"


def test_a_replay_goes_on_where_it_was_without_gap_or_duplicate(server):
    with Broker.connect(server.url) as broker, Broker.connect(server.url) as publisher:
        publisher.create_topic("a.b", partitions=2)
        replay = broker.subscribe("a.*", start="new")
        for number in range(10):
            publisher.publish("a.b", number, key=str(number))
        assert sorted(replay.get(WAIT).json() for _ in range(10)) == list(range(10))
        server.stop()
        server.start()
        # Before the replay is made again, as often as not; and a topic that it does not know yet.
        publisher.create_topic("a.new")
        publisher.publish("a.new", 10)
        publisher.publish("a.b", 11, key="x")
        assert sorted(replay.get(WAIT).json() for _ in range(2)) == [10, 11]
        with pytest.raises(TimeoutError):
            replay.get(0.05)


def test_a_group_gets_again_what_it_had_not_settled(server):
    with Broker.connect(server.url) as broker:
        subscription = broker.subscribe("t", group="g", window=4)
        for number in range(3):
            broker.publish("t", number)
        held = [subscription.get(WAIT) for _ in range(2)]
        held[0].ack()
        while broker.lag("g") != 2:
            pass
        server.stop()
        wait_until_noticed(subscription)
        server.start()
        again = [subscription.get(WAIT) for _ in range(2)]
        assert [message.json() for message in again] == [1, 2]
        held[1].ack()  # of a lease on the connection that is gone: it settles nothing
        assert broker.lag("g") == 2


def test_unsubscribing_while_there_is_no_server_is_remembered(server):
    with Broker.connect(server.url) as broker:
        gone, stays = broker.subscribe("t"), broker.subscribe("t")
        server.stop()
        gone.unsubscribe()
        server.start()
        publish_until_heard(broker, "t", stays)
        assert len(broker.subscribers("t")) == 1


# Frames on their way out


def test_frames_wake_their_sender_once_until_it_takes_them():
    wakes = []
    outgoing = Outgoing(lambda: wakes.append(1))
    for number in (1, 2, 3):
        outgoing.add(number, b"%d" % number, 0)
    assert (outgoing.take(), len(wakes)) == ([b"1", b"2", b"3"], 1)
    outgoing.add(4, b"4", 0)
    assert (outgoing.take(), len(wakes)) == ([b"4"], 2)


def test_notices_are_not_kept_for_another_connection():
    outgoing = Outgoing(lambda: None)
    for number, frame in ((1, b"call"), (NOTICE, b"notice"), (2, b"call too")):
        outgoing.add(number, frame, 0)
    outgoing.drop_notices()
    assert outgoing.calls() == {1, 2}
    assert outgoing.take() == [b"call", b"call too"]


def test_who_publishes_more_than_can_be_sent_waits_for_room():
    outgoing = Outgoing(lambda: None)
    outgoing.add(1, b"x" * MAX_UNSENT_BYTES, 0)
    with pytest.raises(ConnectionLostError, match="nothing could be sent"):
        outgoing.add(2, b"x", 0)
    waiting = threading.Thread(target=outgoing.add, args=(2, b"y", WAIT))
    waiting.start()
    assert len(outgoing.take()) == 1
    waiting.join(WAIT)
    assert outgoing.take() == [b"y"]
    outgoing.close()
    with pytest.raises(ClosedError):
        outgoing.add(3, b"x", 0)
