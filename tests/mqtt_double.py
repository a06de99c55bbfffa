"""MQTT connections without a socket; or, where MQTT_PEER=host:port says so, to a broker elsewhere."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from itertools import count

import pytest

import mqtt_wire as wire
from hubbub.broker.broker import Broker
from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from mqtt_wire import PINGREQ, V5, V31, V311

PEER = os.environ.get("MQTT_PEER", "")
START = 1000.0
WALL_MS = 1_700_000_000_123
MOST_STEPS = (
    100_000  # of timers, in one stretch of time: one that sets itself again would be endless
)
PATIENCE = 2.0  # seconds that a broker elsewhere may take to answer

every_version = pytest.mark.parametrize("version", [V31, V311, V5])
older_versions = pytest.mark.parametrize("version", [V31, V311])
both_specifications = pytest.mark.parametrize("version", [V311, V5])
here_only = pytest.mark.skipif(bool(PEER), reason="a broker elsewhere cannot be looked into")


def kept(version, seconds=3600, **props):
    """What a client says to have its session kept."""
    if version != V5:
        return {"clean": False}
    return {"clean": False, "props": {"session_expiry_interval": seconds} | props}


def mqtt_listener(log=None, access=None, **settings):
    """A listener with a broker of its own."""
    if PEER:
        if log or access or settings:
            pytest.skip("a broker elsewhere has its own settings")
        host, _, port = PEER.rpartition(":")
        return PeerListener(host, int(port))
    from hubbub.protocols.mqtt.listener import MqttListener

    timers = Timers(now=START, wall_ms=WALL_MS)
    settings = {"sys_interval": 0} | settings  # or long stretches of time would take long
    return MqttListener(Broker(log or MemoryLog(), timers, access=access), settings)


def pass_time(listener, seconds):
    """Let so many seconds pass, in steps short enough for every timer to have its turn."""
    if isinstance(listener, PeerListener):
        if seconds:
            pytest.skip("a broker elsewhere has its own clock")
        return
    timers = listener.timers
    end = timers.now + seconds
    for _ in range(MOST_STEPS):
        due = timers.next_due()
        if due is None or due > end:
            break
        _advance(timers, max(due, timers.now))
    else:
        pytest.fail("time stands still: a timer sets itself again without delay")
    _advance(timers, end)


def _advance(timers, now):
    timers.advance(now, timers.wall_ms + round((now - timers.now) * 1000))


class SessionLine:
    """A session of a listener, and what the server around it would do."""

    ports = count(20_000)

    def __init__(self, listener):
        self.listener = listener
        self.outbox = Outbox()
        peer = Peer(("127.0.0.1", next(self.ports) % 60_000), ("127.0.0.1", 1883))
        self.session = listener.session(peer, self.outbox)
        self.is_over = False

    def send(self, data):
        if not self.is_over:
            self.session.receive(data)

    def read(self):
        """What came, after everything that is due now."""
        pass_time(self.listener, 0)
        if not self.is_over and not self.session.paused:
            self.session.resume()
        data = b"".join(self.outbox.take())
        if self.closed:
            self.drop()
        return data

    @property
    def closed(self):
        return self.outbox.closing or self.outbox.aborted

    def drop(self):
        """The connection is no more."""
        if not self.is_over:
            self.is_over = True
            self.session.disconnected()
            pass_time(self.listener, 0)


class PeerListener:
    """A broker elsewhere, which forgets what earlier tests left there."""

    client_ids: set[str | bytes] = set()  # noqa: RUF012 - one broker for all tests

    def __init__(self, host, port):
        self.address = (host, port)
        self.lines = []
        for client_id in self.client_ids:
            Client(self, V5, client_id, props={"session_expiry_interval": 0}).leave()
        self.client_ids.clear()
        cleaner = Client(self, V5, "cleaner")
        cleaner.subscribe("#")
        for message in cleaner.messages():
            cleaner.publish(message.topic, b"", retain=True)
        cleaner.leave()


class SocketLine:
    """A connection to a broker elsewhere; PINGREQ tells when all answers are there."""

    def __init__(self, listener):
        self.socket = socket.create_connection(listener.address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.closed = False
        self.connected = False
        self.waits = False  # for CONNACK, or the end
        self.unread = b""
        self.unsent = b""  # of a packet that is not whole
        self.pings = 0

    def __del__(self):
        self.drop()

    def send(self, data):
        try:
            packets, self.unsent = wire.split(self.unsent + data)
            self.pings += sum(first == PINGREQ[0] for first, _ in packets)
        except wire.WireError:
            self.unsent = b""  # which is to be refused
        self._send(data)
        self.waits = not self.connected

    def read(self):
        if self.connected:
            self.pings += 1
            self._send(PINGREQ)
            while self._count_pings() < self.pings and self._receive():
                pass
        elif self.waits:
            while self._receive() and not self.unread.startswith(b"\x20"):
                pass
            if self.unread[3:4] == b"\0":
                self.connected = True
                return self.read()
            while self._receive():
                pass
        data, self.unread, self.pings = self.unread, b"", 0
        return data.removesuffix(b"\xd0\0") if self.connected else data

    def drop(self):
        self.closed = True
        self.socket.close()

    def _count_pings(self):
        return sum(first >> 4 == wire.PINGRESP_TYPE for first, _ in wire.split(self.unread)[0])

    def _send(self, data):
        with suppress(OSError):  # then there is what came before the end
            self.socket.sendall(data)

    def _receive(self):
        if self.closed:
            return False
        try:
            data = self.socket.recv(1 << 20)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        self.closed = not data
        self.unread += data
        return bool(data)


class Connection:
    """One connection, on which nothing was said yet."""

    def __init__(self, listener, version=V5):
        self.version = version
        self.line = (SocketLine if isinstance(listener, PeerListener) else SessionLine)(listener)
        self.listener = listener
        self.backlog = []
        self.packet_ids = count(1)

    def send(self, *data):
        """Send, and look for no answer yet."""
        self.line.send(b"".join(data))

    def ask(self, *data):
        """Send, and return all packets that came."""
        self.send(*data)
        return self.packets()

    def packets(self):
        """All packets that came since the last look."""
        found = self.backlog + wire.read_packets(self.line.read(), self.version)
        self.backlog = []
        return found

    def bytes(self):
        """What came since the last look, as it is."""
        assert not self.backlog, self.backlog
        return self.line.read()

    @property
    def closed(self):
        return self.line.closed

    def drop(self):
        """The connection is lost."""
        self.line.drop()


class Client(Connection):
    """One client. It says CONNECT at once, and is answered ``connack``."""

    names = count(1)

    def __init__(self, listener, version=V5, client_id=None, **said):
        super().__init__(listener, version)
        self.client_id = f"client-{next(self.names)}" if client_id is None else client_id
        if isinstance(listener, PeerListener) and self.client_id:
            listener.client_ids.add(self.client_id)
        answers = self.ask(wire.connect(self.client_id, version, **said))
        assert answers, "no CONNACK"
        self.connack, *self.backlog = answers
        assert isinstance(self.connack, wire.Connack), answers

    def publish(self, topic, payload=b"", qos=0, **more):
        """Publish, as often as it takes packets to and fro; the reason code that came first."""
        if qos == 0:
            self._keep(wire.publish(topic, payload, version=self.version, **more))
            return None
        packet_id = next(self.packet_ids)
        more = {"packet_id": packet_id, "version": self.version} | more
        answered = wire.Puback if qos == 1 else wire.Pubrec
        answer = self._answer(answered, packet_id, wire.publish(topic, payload, qos, **more))
        if qos == 2 and answer.reason < 0x80:
            self._answer(wire.Pubcomp, packet_id, self.acknowledgement(wire.PUBREL, packet_id))
        return answer.reason

    def subscribe(self, *filters, props=None):
        """SUBSCRIBE to filters, or pairs of a filter and its options; the SUBACK's reason codes."""
        packet_id = next(self.packet_ids)
        asked = wire.subscribe(packet_id, *filters, props=props, version=self.version)
        return self._answer(wire.Suback, packet_id, asked).reasons

    def unsubscribe(self, *filters):
        packet_id = next(self.packet_ids)
        asked = wire.unsubscribe(packet_id, *filters, version=self.version)
        return self._answer(wire.Unsuback, packet_id, asked).reasons

    def acknowledgement(self, kind, packet_id, reason=0, **more):
        return wire.acknowledgement(kind, packet_id, reason, version=self.version, **more)

    def messages(self):
        """The packets that came, messages all of them; they are not acknowledged."""
        found = self.packets()
        assert all(isinstance(each, wire.Publish) for each in found), found
        return found

    def take(self):
        """The messages that came and came after these were acknowledged."""
        taken = []
        answers = {wire.Pubrel: wire.PUBCOMP}
        found = self.packets()
        while found:
            taken += [each for each in found if isinstance(each, wire.Publish)]
            assert all(isinstance(each, wire.Publish | wire.Pubrel) for each in found), found
            due = []
            for each in found:
                kind = answers.get(type(each))
                if isinstance(each, wire.Publish) and each.qos:
                    kind = wire.PUBACK if each.qos == 1 else wire.PUBREC
                if kind is not None:
                    due.append(self.acknowledgement(kind, each.packet_id))
            found = self.ask(*due) if due else []
        return taken

    def payloads(self):
        """The payloads of ``take``."""
        return [message.payload for message in self.take()]

    def leave(self, reason=0, props=None):
        """DISCONNECT, and the end."""
        self.send(wire.disconnect(reason, props, self.version))
        found = self.line.read() if isinstance(self.line, SessionLine) else b""
        self.drop()
        return found

    def _keep(self, data):
        self.send(data)
        self.backlog += wire.read_packets(self.line.read(), self.version)

    def _answer(self, kind, packet_id, data):
        """The answer to ``data``; all else that came is left for the next look."""
        earlier = len(self.backlog)
        self._keep(data)
        for index, found in enumerate(self.backlog):
            if index >= earlier and isinstance(found, kind) and found.packet_id == packet_id:
                return self.backlog.pop(index)
        raise AssertionError(kind, packet_id, self.backlog)


def assert_ended(connection, answers, *reasons):
    """The connection is over, and a client of 5, which alone can be told, was told one of these.

    Without reasons nobody is told: one that has lost its place (see ``quiet_error``).
    """
    assert connection.closed
    if connection.version != V5 or not reasons:
        assert answers == []
    elif answers or not PEER:  # who need not say why
        (said,) = answers
        assert isinstance(said, wire.Disconnect), said
        assert said.reason in reasons, said


MAYBE_MALFORMED = {None, 0x81}  # a CONNECT that is none may be told so (MQTT 5, section 4.13.1)


def assert_refused(listener, data, version, old=None, new=MAYBE_MALFORMED):
    """A CONNECT is refused with these codes (None: without one), of which there may be several."""
    connection = Connection(listener, version)
    answers = connection.ask(data)
    assert connection.closed
    expected = new if version == V5 else old
    code = answers[0].reason if answers else None
    assert all(isinstance(answer, wire.Connack) for answer in answers), answers
    assert len(answers) <= 1
    if code is not None or not PEER:  # who need not say why
        assert code in (expected if isinstance(expected, set) else {expected})
