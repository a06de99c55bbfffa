"""What real clients and a real RabbitMQ say to each other, read and written again to the octet."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hubbub.protocols.amqp.codec import (
    CONTENT_HEADER,
    PROTOCOL_HEADER,
    decode_content_header,
    decode_method,
    encode,
    encode_content,
    encode_method,
    frame,
    split_frames,
)
from hubbub.protocols.amqp.constants import (
    FRAME_BODY,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
)
from hubbub.protocols.amqp.errors import ConnectionFailure
from hubbub.protocols.amqp.methods import METHODS
from hubbub.protocols.amqp.properties import decode_properties, encode_properties

GOLDEN = Path(__file__).parent / "golden" / "amqp"
RECORDINGS = sorted(GOLDEN.glob("*.hex"))
NEXT = "--"  # another connection

EACH = pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)


def lines_of(path):
    """Who spoke and what, in order; no protocol headers."""
    for line in path.read_text().splitlines()[1:]:
        if line != NEXT and (raw := bytes.fromhex(line[2:])) != PROTOCOL_HEADER:
            yield line[0], raw


def frames_of(path):
    """Type, channel and payload of each frame."""
    for _, raw in lines_of(path):
        [one] = split_frames(raw)
        yield one


def arguments(method):
    return {name: getattr(method.args, name) for name in method.args.__struct_fields__}


@EACH
def test_every_frame_is_read_and_written_to_the_same_octets(path):
    for kind, channel, payload in frames_of(path):
        if kind == FRAME_METHOD:
            method = decode_method(payload)
            again = encode(channel, method.name, **arguments(method))
            assert again == frame(kind, channel, payload), method
        elif kind == FRAME_HEADER:
            class_id, size, properties = decode_content_header(payload)
            assert encode_properties(decode_properties(properties)) == properties
            assert CONTENT_HEADER.pack(class_id, 0, size) + properties == payload
        else:
            assert kind == FRAME_BODY or (kind, channel, payload) == (FRAME_HEARTBEAT, 0, b"")


@EACH
def test_every_method_and_content_header_that_is_cut_is_refused(path):
    for kind, _, payload in set(frames_of(path)):
        if kind == FRAME_METHOD:
            for cut in range(len(payload)):
                with pytest.raises(ConnectionFailure):
                    decode_method(payload[:cut])
        elif kind == FRAME_HEADER:
            for cut in range(len(payload)):
                with pytest.raises(ConnectionFailure):
                    decode_properties(decode_content_header(payload[:cut])[2])


@EACH
@pytest.mark.parametrize("side", "<>")
def test_a_stream_may_be_cut_anywhere(path, side):
    """In the first of it, for it goes on in the same way."""
    lines = [raw for who, raw in lines_of(path) if who == side]
    ends, size = [], 0
    for raw in lines:
        size += len(raw)
        ends.append(size)
    stream = b"".join(lines)[:3000]
    for cut in range(len(stream)):
        whole = sum(end <= cut for end in ends)
        assert len(list(split_frames(stream[:cut]))) == whole


@EACH
@pytest.mark.parametrize("side", "<>")
def test_what_carries_a_content_is_written_alike(path, side):
    """Bodies cut into frames as RabbitMQ and its clients cut them."""
    parts, frame_max = [], 0
    for _, raw in [line for line in lines_of(path) if line[0] == side]:
        [(kind, channel, payload)] = split_frames(raw)
        if kind == FRAME_METHOD and decode_method(payload).content:
            parts = [payload]
        elif kind == FRAME_HEADER:
            size, properties = decode_content_header(payload)[1:]
            parts += [properties, b""]
            heads = raw
        elif kind == FRAME_BODY:
            parts[2] += payload
            heads += raw
            frame_max = max(frame_max, len(raw))
        else:
            continue
        if len(parts) == 3 and len(parts[2]) == size:
            written = encode_content(channel, *parts, frame_max)
            assert written == frame(FRAME_METHOD, channel, parts[0]) + heads


def test_the_recordings_have_every_method_of_daily_use():
    said = Counter(
        decode_method(payload).name
        for path in RECORDINGS
        for kind, _, payload in frames_of(path)
        if kind == FRAME_METHOD
    )
    rare = {
        *("connection.secure", "connection.secure-ok"),
        *("connection.blocked", "connection.unblocked"),
        *("connection.update-secret", "connection.update-secret-ok"),
        *("access.request", "access.request-ok"),
        "basic.recover-async",
    }
    assert {spec.name for spec in METHODS.values()} - set(said) == rare
    assert all(encode_method(name) for name in rare)
