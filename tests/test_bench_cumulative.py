"""Acknowledgements by a number that is counted for ever, and of several messages at once."""

from __future__ import annotations

import pytest

from bench_doubles import AT_ONCE, MESSAGES, SIZE, SUBJECT, Double
from hubbub.bench.amqp import Amqp
from hubbub.bench.shape import Shape

DIALECT = Amqp(Shape(protocol="amqp", qos=1))
DOUBLE = Double(DIALECT)
ACK_BYTES = 21


def ack(tag, *, multiple=False):
    return (
        b"\x01\x00\x01\x00\x00\x00\x0d\x00\x3c\x00\x50"
        + tag.to_bytes(8, "big")
        + bytes([multiple])
        + b"\xce"
    )


def deliveries(frames, first):
    """The frames as a broker delivers them, with tags from ``first`` on."""
    for tag, frame in enumerate(frames, first):
        payload = frame[DOUBLE.payload_at : DOUBLE.payload_at + SIZE]
        delivered = DIALECT.delivered(SUBJECT, SUBJECT, payload)
        # Behind the frame's head, its class and number, and a consumer tag of one character.
        yield delivered[:13] + tag.to_bytes(8, "big") + delivered[21:]


def test_a_receipt_for_all_up_to_a_message_acknowledges_each_of_them():
    seen = []

    def broker(publisher):
        for frames in DOUBLE.frames_of(publisher):
            seen.extend(frames)
            # The last but one is acknowledged with what is before it, the last one by itself.
            publisher.sendall(ack(len(seen) - 1, multiple=True) + ack(len(seen)))

    load = DOUBLE.played(broker, subscribers=0)
    assert load.lost == 0
    assert load.acknowledged == load.published > 0
    assert load.sent_in_all == len(seen) > MESSAGES  # tags count on where the ring begins again


def test_receipts_may_come_in_pieces():
    sent = 0

    def broker(publisher):
        nonlocal sent
        for frames in DOUBLE.frames_of(publisher):
            for tag in range(sent + 1, sent + len(frames) + 1):
                for byte in ack(tag):
                    publisher.sendall(bytes([byte]))
            sent += len(frames)

    load = DOUBLE.played(broker, subscribers=0)
    assert load.lost == 0
    assert load.acknowledged > 0
    assert load.sent_in_all == sent


def test_more_may_be_unacknowledged_than_a_ring_holds():
    def broker(publisher):
        while publisher.recv(65536):
            pass

    load = DOUBLE.played(broker, subscribers=0, window=3 * MESSAGES)
    assert load.lost == load.sent_in_all == 3 * MESSAGES


@pytest.mark.parametrize(
    "wrong",
    [
        ack(2),  # leaves the first one out
        ack(0, multiple=True),
        ack(MESSAGES * 10, multiple=True),  # which was never sent
        ack(1) + ack(1),
        ack(1).replace(b"\x00\x50", b"\x00\x78"),  # basic.nack
        ack(1)[:-1] + b"\x00",
    ],
)
def test_a_receipt_that_is_not_the_next_one_ends_the_run(wrong):
    def broker(publisher):
        publisher.sendall(wrong)
        while publisher.recv(65536):
            pass

    with pytest.raises(ConnectionError, match="something else than the next receipt"):
        DOUBLE.played(broker, subscribers=0)


@pytest.mark.parametrize("confirms", [0, 1, 4])
def test_a_subscriber_acknowledges_by_the_tag_of_every_so_manyth_delivery(confirms):
    sent, received = 0, bytearray()

    def broker(publisher, subscriber):
        nonlocal sent
        for frames in DOUBLE.frames_of(publisher):
            subscriber.sendall(b"".join(deliveries(frames, sent + 1)))
            sent += len(frames)
            due = sent // confirms * ACK_BYTES if confirms else 0
            while len(received) < due:
                received.extend(subscriber.recv(65536))

    load = DOUBLE.played(broker, subscribers=1, replies=False, confirms=confirms)
    assert load.lost == load.duplicated == 0
    assert load.received_in_all == sent > AT_ONCE
    tags = range(confirms, sent + 1, confirms) if confirms else ()
    assert received == b"".join(ack(tag, multiple=confirms > 1) for tag in tags)


def test_a_method_in_place_of_a_delivery_ends_the_run():
    """It begins as a delivery does, but for the size."""
    closing = b"\x01\x00\x01\x00\x00\x00\x0b\x00\x14\x00\x28\x01\x94\x00\x00\x00\x00\x00\xce"

    def broker(publisher, subscriber):
        subscriber.sendall(closing)
        publisher.recv(1)

    with pytest.raises(ConnectionError, match="something that was not due"):
        DOUBLE.played(broker, subscribers=1, replies=False)
