from __future__ import annotations

import os

import pytest

from bench_doubles import AT_ONCE, MESSAGES, Double
from hubbub.bench.answers import Receipt
from hubbub.bench.dialects import Mqtt
from hubbub.bench.generator import _ring_and_window
from hubbub.bench.load import RING_MESSAGES_MAX
from hubbub.bench.shape import Shape

DOUBLE = Double(Mqtt(1))
FRAME, PAYLOAD_AT = DOUBLE.frame, DOUBLE.payload_at
load_of, played, frames_of = DOUBLE.load_of, DOUBLE.played, DOUBLE.frames_of


def identifier_of(frame):
    return frame[PAYLOAD_AT - 2 : PAYLOAD_AT]


def receipt(identifier):
    return b"\x40\x02" + identifier


def test_identifiers_go_round_and_receipts_may_come_in_pieces():
    seen = []

    def broker(publisher):
        for frames in frames_of(publisher):
            seen.extend(identifier_of(frame) for frame in frames)
            for byte in b"".join(receipt(identifier_of(frame)) for frame in frames):
                publisher.sendall(bytes([byte]))

    load = played(broker, subscribers=0)
    assert load.lost == 0
    assert load.acknowledged == load.published > 0
    assert len(seen) == load.sent_in_all > MESSAGES
    assert seen == [(at % MESSAGES + 1).to_bytes(2, "big") for at in range(len(seen))]


def test_receipts_that_never_come_are_lost():
    def broker(publisher):
        while publisher.recv(65536):
            pass

    load = played(broker, subscribers=0)
    assert load.lost == load.sent_in_all == MESSAGES - AT_ONCE


@pytest.mark.parametrize("wrong", [receipt(b"\0\2"), b"\x50\x02\0\1", b"nonsense" * 10_000])
def test_something_else_than_the_next_receipt_ends_the_run(wrong):
    def broker(publisher):
        publisher.sendall(wrong)
        publisher.recv(1)

    with pytest.raises(ConnectionError, match="something else than the next receipt"):
        played(broker, subscribers=0)


def test_a_subscriber_that_is_sent_something_else_than_messages_ends_the_run():
    def broker(publisher, subscriber):
        subscriber.sendall(b"\xd0\x00" * 40_000)
        publisher.recv(1)

    with pytest.raises(ConnectionError, match="something that was not due"):
        played(broker, subscribers=1)


def own_identifiers(frames, first):
    """The frames as a broker delivers them: with identifiers of its own."""
    return [
        frame[: PAYLOAD_AT - 2] + ((first + at) % 65535 + 1).to_bytes(2, "big") + frame[PAYLOAD_AT:]
        for at, frame in enumerate(frames)
    ]


def test_subscribers_confirm_each_message_by_the_identifier_it_came_with():
    due, confirmed = bytearray(), [bytearray(), bytearray()]

    def broker(publisher, *subscribers):
        for frames in frames_of(publisher):
            delivered = own_identifiers(frames, len(due) // 4 + 500)
            due.extend(b"".join(receipt(identifier_of(frame)) for frame in delivered))
            publisher.sendall(b"".join(receipt(identifier_of(frame)) for frame in frames))
            for subscriber, received in zip(subscribers, confirmed, strict=True):
                subscriber.sendall(b"".join(delivered))
                while len(received) < len(due):
                    received.extend(subscriber.recv(65536))

    load = played(broker, subscribers=2)
    assert load.lost == load.duplicated == 0
    assert load.received_in_all == 2 * load.sent_in_all == len(due) // 2 > 0
    assert confirmed == [due, due]


def test_what_is_published_counts_when_it_is_both_delivered_and_acknowledged():
    unacknowledged = []

    def broker(publisher, subscriber):
        for frames in frames_of(publisher):
            subscriber.sendall(b"".join(own_identifiers(frames, 0)))
            subscriber.recv(65536)
            unacknowledged.extend(frames)

    load = played(broker, subscribers=1)
    # No more are sent: identifiers in flight are not used again.
    assert load.sent_in_all == len(unacknowledged) == load.received_in_all == MESSAGES - AT_ONCE
    assert load.delivered > load.published == 0
    assert load.lost == load.sent_in_all


def test_receipts_wait_for_a_broker_that_reads_late():
    due, confirmed = bytearray(), bytearray()
    late = 5_000 * 4  # more than the socket holds

    def broker(publisher, subscriber):
        for frames in frames_of(publisher):
            delivered = own_identifiers(frames, len(due) // 4)
            due.extend(b"".join(receipt(identifier_of(frame)) for frame in delivered))
            publisher.sendall(b"".join(receipt(identifier_of(frame)) for frame in frames))
            subscriber.sendall(b"".join(delivered))
            while len(due) >= late and len(confirmed) < len(due):
                confirmed.extend(subscriber.recv(65536))

    load = played(broker, subscribers=1, seconds=1)
    assert load.lost == load.duplicated == 0
    assert len(due) > late
    assert confirmed == due


def test_a_broker_that_never_reads_receipts_ends_the_run():
    def broker(publisher, subscriber):
        for frames in frames_of(publisher):
            publisher.sendall(b"".join(receipt(identifier_of(frame)) for frame in frames))
            subscriber.sendall(b"".join(frames))

    with pytest.raises(ConnectionError, match="does not read receipts"):
        played(broker, subscribers=1, seconds=20)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"window": MESSAGES}, "one packet identifier"),
        ({"ring_messages": RING_MESSAGES_MAX + 1}, "one packet identifier"),
        ({"receipt": Receipt(b"\x40" * 17, 2, 0)}, "at most 16 on either side"),
        ({"receipt": Receipt(b"\x40", 4, 0)}, "two bytes or eight"),
        ({"receipt": None}, "without receipts"),
        ({"confirms": 2}, "a receipt of its own"),
    ],
)
def test_a_load_that_could_not_tell_messages_apart_is_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        load_of(**settings)


def test_a_load_that_is_refused_closes_no_descriptor_of_others():
    """Least of all 0, which is what the descriptor of a load that has none yet would be."""
    kept = os.fstat(0)

    with pytest.raises(ValueError, match="without receipts"):
        load_of(receipt=None)

    assert os.path.samestat(os.fstat(0), kept)


@pytest.mark.parametrize(
    "shape",
    [
        {"subscribers": 0},
        {"subscribers": 0, "topics": 7},
        {"window": 1},
        {"window": 70_000, "topics": 1000},
        {"size": 8, "rate": 10},
    ],
)
def test_a_ring_holds_more_than_may_be_unacknowledged_and_no_identifier_twice(shape):
    shape = Shape(protocol="mqtt", qos=1, **shape)
    messages, window = _ring_and_window(shape, len(FRAME), len(FRAME))
    assert 0 < window < messages <= RING_MESSAGES_MAX
    assert messages % shape.topics == 0


def test_a_ring_without_identifiers_may_be_smaller_than_the_window():
    messages, window = _ring_and_window(Shape(protocol="redis", subscribers=0), 128, 128)
    assert (messages, window) == (2048, 65536)
