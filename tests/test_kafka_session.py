"""One connection: order, what waits, what is too much, and what the broker says it can do."""

from __future__ import annotations

import struct
from functools import partial

import pytest
from kio.schema.errors import ErrorCode

from held_log import HeldLog
from hubbub.broker.outbox import Outbox
from hubbub.model.errors import InvalidSettingsError
from hubbub.protocols.kafka.codec import FrameBudget, FrameBuffer
from hubbub.protocols.kafka.context import Node
from hubbub.protocols.kafka.listener import HANDLERS, KafkaListener
from hubbub.protocols.kafka.session import (
    MAX_IN_FLIGHT,
    MAX_REQUESTS_PER_TURN,
    MAX_UNSENT_BYTES,
    KafkaSession,
)
from hubbub.protocols.kafka.versions import API_VERSIONS, METADATA, PRODUCE, VERSIONS
from kafka_admin import part
from kafka_wire import PEER, Wire, batch, frame, milliseconds

DESCRIBE_CLUSTER = 60


class Handlers:
    """Handlers that keep what they are called with, for the test to answer when it likes."""

    def __init__(self, wire: Wire) -> None:
        self.asked = []
        self.replies = []
        self.session = KafkaSession(
            wire.broker,
            {METADATA: self._hold, API_VERSIONS: HANDLERS[API_VERSIONS], DESCRIBE_CLUSTER: _raise},
            {},
            Node(1, "127.0.0.1", 9092),
            PEER,
            wire.outbox,
            FrameBuffer(FrameBudget()),
        )

    def _hold(self, context, request, reply):
        self.asked.append((context, request))
        self.replies.append(reply)


def _raise(context, request, reply):
    raise ZeroDivisionError


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def held(wire):
    return Handlers(wire)


def metadata(correlation_id: int = 1) -> bytes:
    return frame(METADATA, 1, correlation_id, topics=())


def sent(wire: Wire) -> list[bytes]:
    """The bodies and correlation ids that were sent."""
    data, found = b"".join(wire.outbox.take()), []
    while data:
        (size,) = struct.unpack_from(">i", data)
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


# Order


def test_responses_keep_the_order_of_the_requests(wire, held):
    held.session.receive(metadata(1) + metadata(2) + metadata(3))
    assert len(held.replies) == 3
    held.replies[2](b"third")
    held.replies[1](b"second")
    assert sent(wire) == []
    held.replies[0](b"first")
    assert sent(wire) == [b"\0\0\0\1first", b"\0\0\0\2second", b"\0\0\0\3third"]


def test_a_request_that_wants_no_response_holds_nobody_up(wire, held):
    held.session.receive(metadata(1) + metadata(2))
    held.replies[1](b"second")
    held.replies[0](None)
    assert sent(wire) == [b"\0\0\0\2second"]


def test_the_handler_learns_who_asks(held):
    held.session.receive(metadata())
    ((context, request),) = held.asked
    assert (context.api_key, context.api_version) == (METADATA, 1)
    assert (context.client_id, context.client_host) == ("test", PEER.remote[0])
    assert request.topics == ()


# Too much


def test_requests_beyond_the_limit_wait_in_the_socket_and_come_when_there_is_room(wire, held):
    held.session.receive(b"".join(metadata(index) for index in range(MAX_IN_FLIGHT + 5)))
    wire.advance(0)
    assert held.session.paused
    assert len(held.replies) == MAX_IN_FLIGHT
    held.replies[0](b"")
    assert len(held.replies) == MAX_IN_FLIGHT  # not from within whoever answers
    wire.advance(0)
    assert len(held.replies) == MAX_IN_FLIGHT + 1
    for reply in list(held.replies[1:]):
        reply(b"")
    wire.advance(0)
    assert len(held.replies) == MAX_IN_FLIGHT + 5
    assert not held.session.paused


def test_responses_that_wait_their_turn_count_as_unsent(held):
    held.session.receive(metadata(1) + metadata(2))
    held.replies[1](bytes(MAX_UNSENT_BYTES))
    assert held.session.paused


def test_a_client_that_does_not_read_is_answered_no_further_until_it_does(wire, held):
    held.session.receive(metadata(1) + metadata(2))
    held.replies[0](bytes(MAX_UNSENT_BYTES))
    held.replies[1](b"")
    held.session.receive(metadata(3) + metadata(4))
    assert len(held.replies) == 2
    wire.advance(1)
    assert len(held.replies) == 2
    wire.outbox.take()
    wire.outbox.write(bytes(MAX_UNSENT_BYTES))  # the socket does not take it
    held.session.resume()
    wire.advance(1)
    assert len(held.replies) == 2
    wire.outbox.take()
    held.session.resume()
    wire.advance(1)
    assert len(held.replies) == 4


# Ends


def test_an_exception_ends_its_own_connection_only(wire, held, caplog):
    held.session.receive(frame(DESCRIBE_CLUSTER, 0, include_cluster_authorized_operations=False))
    assert wire.closed
    assert "ZeroDivisionError" in caplog.text
    assert Wire(wire.broker).ask(API_VERSIONS, 0).error_code == 0


def test_a_response_that_cannot_be_encoded_does_not_hurt_who_gives_it(wire, held, caplog):
    held.session.receive(metadata())
    held.replies[0](["no bytes"])
    assert wire.closed
    assert "TypeError" in caplog.text


def test_answers_after_the_end_go_nowhere(wire, held):
    held.session.receive(metadata(1) + metadata(2))
    held.session.disconnected()
    held.replies[0](b"late")
    held.session.receive(metadata(3))
    assert sent(wire) == []
    assert len(held.replies) == 2


def test_requests_left_over_at_the_end_are_not_handled(wire, held):
    held.session.receive(b"".join(metadata(index) for index in range(MAX_IN_FLIGHT + 5)))
    held.session.disconnected()
    held.replies[0](b"late")
    wire.advance(1)
    assert len(held.replies) == MAX_REQUESTS_PER_TURN


def test_a_client_that_goes_while_it_is_not_read_from_is_not_read_from_again(wire, held):
    wire.outbox.write(bytes(MAX_UNSENT_BYTES))
    held.session.receive(metadata())
    held.session.disconnected()
    wire.outbox.take()
    held.session.resume()
    wire.advance(1)
    assert held.replies == []


def test_a_malformed_request_closes_after_what_was_answered_before(wire, held):
    held.session.receive(metadata(1) + b"\xff" * 12 + metadata(2))
    assert wire.closed
    assert len(held.replies) == 1


@pytest.mark.parametrize(
    ("api_key", "version"), [(PRODUCE, 0), (PRODUCE, 2), (PRODUCE, 14), (METADATA, 14), (17, 0)]
)
def test_versions_and_keys_that_are_not_served_close_the_connection(wire, api_key, version):
    head = struct.pack(">hhih", api_key, version, 1, -1) + bytes(8)
    wire.session.receive(struct.pack(">i", len(head)) + head)
    assert wire.closed
    assert sent(wire) == []


# ApiVersions


@pytest.mark.parametrize("version", range(5))
def test_api_versions_tells_the_ranges_of_a_4_3_broker(wire, version):
    software = {"client_software_name": "lib-name", "client_software_version": "1.2.3"}
    response = wire.ask(API_VERSIONS, version, **software)
    assert response.error_code is ErrorCode.none
    ranges = {key.api_key: (key.min_version, key.max_version) for key in response.api_keys}
    assert ranges[PRODUCE] == (0, 13)
    assert ranges[METADATA] == (0, 13)
    assert ranges.keys() == HANDLERS.keys()
    assert not ranges.keys() & {17, 24, 25, 26, 28, 36, 48, 68, 71, 76}


def test_an_api_versions_request_from_the_future_is_answered_in_version_0(wire):
    head = struct.pack(">hhih", API_VERSIONS, 77, 5, -1) + b"\0" + b"whatever"
    wire.session.receive(struct.pack(">i", len(head)) + head)
    (body,) = sent(wire)
    only_itself = struct.pack(">ihihhh", 5, 35, 1, API_VERSIONS, *VERSIONS[API_VERSIONS].advertised)
    assert body == only_itself
    assert not wire.closed


@pytest.mark.parametrize("name", ["", "-lib", "lib-", "li b", "lib\n", "ä"])
def test_software_names_that_are_none_are_an_invalid_request(wire, name):
    software = {"client_software_name": name, "client_software_version": "1"}
    response = wire.ask(API_VERSIONS, 3, **software)
    assert response.error_code is ErrorCode.invalid_request
    assert response.api_keys == ()


# The listener


def test_clients_are_told_the_address_they_connected_to(wire):
    (broker,) = wire.ask(METADATA, 1, topics=()).brokers
    assert (broker.node_id, broker.host, broker.port) == (1, *PEER.local)


@pytest.mark.parametrize(
    ("advertised", "address"),
    [("broker.test:19092", ("broker.test", 19092)), ("[2001:db8::1]:9092", ("2001:db8::1", 9092))],
)
def test_clients_are_told_the_configured_address(advertised, address):
    wire = Wire(settings={"advertised": advertised})
    (broker,) = wire.ask(METADATA, 1, topics=()).brokers
    assert (broker.host, broker.port) == address


@pytest.mark.parametrize("advertised", ["broker", ":9092", "broker:", "broker:port", "broker:-1"])
def test_an_advertised_address_that_is_none_is_refused_at_the_start(wire, advertised):
    with pytest.raises(InvalidSettingsError, match="advertised"):
        KafkaListener(wire.broker, {"advertised": advertised})


# Together


def test_what_waits_for_the_disk_does_not_keep_the_next_request_from_being_handled():
    log = HeldLog()
    wire = Wire(log=log)
    topic = wire.topic("t")
    log.sync()
    ask = partial(wire.send, PRODUCE, 9, transactional_id=None, acks=-1, timeout=milliseconds(1))
    for value in (b"one", b"two"):
        partition = part("PartitionProduceData", index=0, records=batch(value))
        ask(topic_data=[part("TopicProduceData", name="t", partition_data=[partition])])
    wire.send(METADATA, 12, topics=(), include_topic_authorized_operations=False)
    assert topic.partitions[0].log.end_offset == 2
    assert wire.responses() == []
    log.sync()
    assert [correlation_id for correlation_id, _ in wire.responses()] == [1, 2, 3]


def test_an_outbox_that_was_closed_takes_no_more_requests(wire, held):
    wire.outbox.close()
    held.session.receive(metadata())
    assert held.replies == []
    assert isinstance(wire.outbox, Outbox)


# Turns


def test_requests_that_come_at_once_are_handled_in_turns_and_in_order(wire, held):
    count = 2 * MAX_REQUESTS_PER_TURN + 1
    stream = b"".join(frame(API_VERSIONS, 0, index) for index in range(count))
    held.session.receive(stream)
    found = sent(wire)
    assert len(found) == MAX_REQUESTS_PER_TURN
    assert held.session.paused
    wire.advance(0)
    found += sent(wire)
    assert len(found) == 2 * MAX_REQUESTS_PER_TURN
    wire.advance(0)
    found += sent(wire)
    assert [int.from_bytes(body[:4], "big") for body in found] == list(range(count))
    assert not held.session.paused


def test_the_server_is_told_to_read_on_after_requests_that_want_no_response(wire, held):
    woken = []
    outbox = Outbox(lambda: woken.append(1))
    held.session.outbox = outbox
    held.session.receive(b"".join(metadata() for _ in range(MAX_REQUESTS_PER_TURN + 1)))
    assert woken == []
    wire.advance(0)
    assert woken == [1]
    assert outbox.take() == []


def test_unfinished_requests_of_all_connections_have_one_budget(wire, monkeypatch, caplog):
    caplog.set_level("DEBUG")
    monkeypatch.setattr("hubbub.protocols.kafka.codec.MAX_UNFINISHED_BYTES", 1000)
    listener = KafkaListener(wire.broker)
    outboxes = [Outbox() for _ in range(4)]
    first, second, third, fourth = [listener.session(PEER, outbox) for outbox in outboxes]
    half = struct.pack(">ihhi", 700, PRODUCE, 9, 1) + bytes(588)
    first.receive(half)
    second.receive(half)
    assert [outbox.closing for outbox in outboxes] == [False, True, False, False]
    assert "unfinished requests would hold more than 1000 bytes" in caplog.text
    second.disconnected()
    first.disconnected()  # gives back what it held
    third.receive(half)
    assert not outboxes[2].closing
    third.receive(bytes(104))  # whole, though no request
    fourth.receive(half)
    assert not outboxes[3].closing
