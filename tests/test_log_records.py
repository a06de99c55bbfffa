"""Messages through records and back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.log import batch
from hubbub.log.records import ADDRESS_HEADER, EXPIRY_HEADER, decode_records, encode_messages
from hubbub.model.address import Address
from hubbub.model.message import Message

TOPIC = Address("orders")
ADDRESSES = st.sampled_from([TOPIC, Address("orders.eu"), Address("\u00e9.b"), Address("")])
TEXT = st.none() | st.text(st.characters(codec="utf-8"), max_size=8)
BYTES = st.none() | st.binary(max_size=20)
MESSAGES = st.builds(
    Message,
    ADDRESSES,
    BYTES,
    BYTES,
    st.lists(st.tuples(st.sampled_from(["a", "b", "\u00fc"]), BYTES), max_size=3).map(tuple),
    st.integers(-1, 2**62),
    TEXT,
    TEXT,
    st.none() | ADDRESSES,
    BYTES,
    st.none() | st.integers(0, 10**17),
)


@given(st.lists(MESSAGES, min_size=1, max_size=5))
@settings(max_examples=200)
def test_messages_come_back_as_they_were(messages):
    stored = batch.stamp(encode_messages(messages, TOPIC), 40)
    records = decode_records(stored, TOPIC, 3)
    assert [record.message for record in records] == messages
    assert [(r.topic, r.partition, r.offset) for r in records] == [
        (TOPIC, 3, 40 + index) for index in range(len(messages))
    ]


def decoded(*headers):
    (record,) = decode_records(batch.encode([(0, None, b"v", headers)]), TOPIC, 0)
    return record.message


def test_a_foreign_header_that_makes_no_sense_as_a_slot_stays_a_header():
    for header in [
        (ADDRESS_HEADER, b"\xff"),
        (ADDRESS_HEADER, b"line\nbreak"),
        (ADDRESS_HEADER, None),
        (EXPIRY_HEADER, b"-5"),
        (EXPIRY_HEADER, b"9" * 5000),
        ("reply-to", b"\x00"),
        ("message-id", b"\xfe"),
    ]:
        message = decoded(header)
        assert message.headers == (header,)
        assert message == Message(TOPIC, b"v", None, (header,), 0)


def test_a_header_that_names_a_slot_fills_it_once():
    message = decoded(("content-type", b"text/plain"), ("content-type", b"second"))
    assert message.content_type == "text/plain"
    assert message.headers == (("content-type", b"second"),)


def test_a_plain_header_named_like_a_slot_that_is_taken_stays_plain():
    message = Message(TOPIC, b"v", None, (("message-id", b"other"),), 0, message_id="mine")
    (record,) = decode_records(encode_messages([message], TOPIC), TOPIC, 0)
    assert record.message == message
