"""Properties of PUBLISH and a message's slots and headers: what one says, the other says too."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.model.address import from_levels, from_opaque
from hubbub.model.message import Message
from hubbub.protocols.mqtt.fields import Reader, variable
from hubbub.protocols.mqtt.mapping import (
    message_of,
    properties_of,
    remaining_seconds,
)
from hubbub.protocols.mqtt.names import address_of
from hubbub.protocols.mqtt.properties import (
    PacketType,
    Property,
    encode_property,
    read_properties,
    with_expiry,
)

A = from_levels(["a"])
NOW = 1_700_000_000_000
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
ANY_TEXTS = st.text(max_size=8)  # with what no UTF-8 string can hold
NAMES = TEXTS.filter(lambda name: name not in {"hubbub-key", "message-id", "mqtt-retain"}).filter(
    lambda name: name != "mqtt-payload-format"
)
TOPICS = st.sampled_from(["a", "a/b", "/", "ü/ß", "a.b", "%FF"])
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        Property.PAYLOAD_FORMAT_INDICATOR: st.integers(0, 1),
        Property.MESSAGE_EXPIRY_INTERVAL: st.integers(0, 0xFFFFFFFF),
        Property.CONTENT_TYPE: TEXTS,
        Property.RESPONSE_TOPIC: TOPICS,
        Property.CORRELATION_DATA: st.binary(max_size=8),
        Property.USER_PROPERTY: st.lists(st.tuples(NAMES, TEXTS), min_size=1, max_size=4),
    },
)
HEADERS = st.lists(
    st.tuples(ANY_TEXTS | st.just("mqtt-payload-format"), st.none() | st.binary(max_size=8)),
    max_size=4,
).map(tuple)
MESSAGES = st.builds(
    Message,
    address=st.just(A),
    value=st.none() | st.binary(max_size=4),
    key=st.none() | st.binary(max_size=8),
    headers=HEADERS,
    timestamp_ms=st.just(NOW),
    message_id=st.none() | ANY_TEXTS,
    content_type=st.none() | ANY_TEXTS,
    reply_to=st.none() | st.binary(min_size=1, max_size=8).map(from_opaque),
    correlation_id=st.none() | st.binary(max_size=8),
    expiry_ms=st.none() | st.integers(0, 2**45),
)


def encoded(properties):
    return b"".join(encode_property(known, value) for known, value in properties.items())


def read(raw):
    reader = Reader(variable(len(raw)) + raw)
    found = read_properties(reader, PacketType.PUBLISH)
    reader.finish()
    return found


def taken(raw, *, retain=False):
    return message_of(A, b"x", raw, NOW, retain=retain)


@settings(max_examples=500)
@given(PROPERTIES, st.booleans())
def test_properties_that_became_a_message_come_back(properties, retain):
    message = taken(encoded(properties), retain=retain)
    assert (("mqtt-retain", b"true") in message.headers) == retain
    assert read(properties_of(message, NOW)) == properties


@settings(max_examples=500)
@given(MESSAGES)
def test_any_message_has_properties_that_a_client_can_read(message):
    found = read(properties_of(message, NOW))
    assert found.get(Property.CORRELATION_DATA) == message.correlation_id
    assert (Property.MESSAGE_EXPIRY_INTERVAL in found) == (message.expiry_ms is not None)
    if Property.RESPONSE_TOPIC in found:
        assert address_of(found[Property.RESPONSE_TOPIC].encode()) == message.reply_to
    else:
        assert message.reply_to is None
    again = taken(properties_of(message, NOW))
    if message.key is not None:
        assert again.key == message.key.decode(errors="replace").replace("\0", "\ufffd").encode()


@given(st.lists(st.tuples(NAMES, TEXTS), max_size=6))
def test_user_properties_are_headers_in_their_order(pairs):
    message = taken(encoded({Property.USER_PROPERTY: pairs}))
    assert message.headers == tuple((name, value.encode()) for name, value in pairs)
    assert read(properties_of(message, NOW)).get(Property.USER_PROPERTY, []) == pairs


def test_a_key_is_the_first_user_property_of_its_name():
    pairs = [("a", "1"), ("hubbub-key", "k"), ("hubbub-key", "more")]
    message = taken(encoded({Property.USER_PROPERTY: pairs}))
    assert message.key == b"k"
    assert message.headers == (("a", b"1"), ("hubbub-key", b"more"))


def test_what_only_mqtt_has_is_a_header_and_no_user_property():
    message = taken(encoded({Property.PAYLOAD_FORMAT_INDICATOR: 1}), retain=True)
    assert message.headers == (("mqtt-retain", b"true"), ("mqtt-payload-format", b"1"))
    assert read(properties_of(message, NOW)) == {Property.PAYLOAD_FORMAT_INDICATOR: 1}


def test_a_response_topic_that_is_no_address_is_left_out():
    message = taken(encoded({Property.RESPONSE_TOPIC: "/" * 300, Property.CONTENT_TYPE: "t"}))
    assert (message.reply_to, message.content_type) == (None, "t")


@pytest.mark.parametrize(
    "slots",
    [
        {"headers": (("h", b"x" * 65_536),)},
        {"headers": (("x" * 65_536, b""),)},
        {"content_type": "x" * 65_536},
        {"correlation_id": b"x" * 65_536},
        {"message_id": "x" * 65_536},
        {"key": b"x" * 65_536},
        {"reply_to": from_opaque(b"/" * 30_000)},
    ],
    ids=lambda slots: next(iter(slots)),
)
def test_what_is_too_long_for_a_property_is_left_out(slots):
    assert read(properties_of(Message(A, b"x", **slots), NOW)) == {}


# Expiry


@given(st.integers(0, 10_000), st.integers(-1000, 12_000))
def test_a_message_has_time_left_until_it_has_expired(expiry_ms, waited_ms):
    message = Message(A, b"x", timestamp_ms=NOW, expiry_ms=expiry_ms)
    now = NOW + waited_ms
    left = remaining_seconds(message, now)
    assert (left == 0) == message.is_expired(now) or waited_ms < 0
    assert left * 1000 >= expiry_ms - max(waited_ms, 0) > (left - 1) * 1000 or left == 0


@given(PROPERTIES, st.integers(0, 0xFFFFFFFF))
def test_only_the_expiry_of_properties_changes_while_they_wait(properties, seconds):
    properties = {Property.MESSAGE_EXPIRY_INTERVAL: 7} | properties
    found = read(with_expiry(encoded(properties), seconds))
    assert found == properties | {Property.MESSAGE_EXPIRY_INTERVAL: seconds}
    assert list(found) == list(properties)
