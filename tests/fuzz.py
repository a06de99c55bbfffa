"""Mutated streams into whole sessions: ``python tests/fuzz.py nats --seconds 600``.

What is good input comes from the golden files, which are the corpus. A session must neither raise nor
hang nor answer differently when the same bytes come in other pieces, and the broker must go on.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import time
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import amqp_double
import kafka_wire
import mqtt_double
import mqtt_wire
import nats_double
import redis_double
from hubbub.log import batch
from hubbub.model.errors import HubbubError
from hubbub.protocols.amqp import codec

GOLDEN = Path(__file__).parent / "golden"
AMQP_CONFIRMS = {b"\x00\x3c\x00\x50", b"\x00\x3c\x00\x78"}  # basic.ack, basic.nack
AMQP_OPEN = b"\x00\x0a\x00\x28"
AMQP_HANDSHAKE = amqp_double.handshake()
AMQP_CHANNEL = codec.encode(1, "channel.open")
MQTT_ACKNOWLEDGEMENTS = {mqtt_wire.PUBACK, mqtt_wire.PUBREC, mqtt_wire.PUBREL, mqtt_wire.PUBCOMP}

AMQP_METHODS = (
    *("channel.open", "channel.close", "channel.close-ok", "channel.flow", "tx.select", "tx.commit"),
    *("tx.rollback", "confirm.select", "basic.get", "basic.qos", "basic.recover", "basic.publish"),
    *("basic.consume", "queue.declare", "queue.purge", "queue.delete", "exchange.declare"),
)

WORDS = {
    "nats": [
        *(b"\r\n", b" ", b"\t", b"*", b">", b".", b"%20", b"%-", b"\x00", b"\xff", b"-1"),
        *(b"PUB ", b"HPUB ", b"SUB ", b"UNSUB ", b"CONNECT {", b"NATS/1.0\r\n"),
        *(b"999999999", b"4294967296"),
    ],
    "redis": [
        *(
            b"\r\n",
            b"*3\r\n",
            b"$-1\r\n",
            b"$0\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"PUBLISH",
            b"'",
            b"\x00",
        ),
        *(b"*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$1\r\nb\r\n", b"$18446744073709551616\r\n"),
    ],
    "kafka": [b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80" * 5, b"\x00\x01", b"\x00\x12"],
    "mqtt": [
        *(b"\xff\xff\xff\x7f", b"\x80", b"\x00\x00", b"\xff\xff", b"\x00\x04MQTT\x05", b"\xc0\x00"),
        *(b"#", b"+/", b"$share/g/", b"$SYS/", b"%2F", b"\xed\xa0\x80", b"\x00\x0bhubbub-mark"),
        *(mqtt_wire.publish("a", b"x", 2, packet_id=1), mqtt_wire.subscribe(1, ("#", 2))),
        *(mqtt_wire.subscribe(2, ("$share/g/#", 1)), mqtt_wire.unsubscribe(3, "#")),
        *(mqtt_wire.acknowledgement(kind, 1) for kind in MQTT_ACKNOWLEDGEMENTS),
        *(mqtt_wire.disconnect(0, {"session_expiry_interval": 0}), mqtt_wire.disconnect(4)),
    ],
    "amqp": [
        *(b"\xce", b"\x00" * 4, b"\xff" * 4, b"\xff" * 8, b"\x00\x3c", b"\x00\x32", b"#", b"amq.topic"),
        *(codec.HEARTBEAT, codec.PROTOCOL_HEADER, codec.frame(2, 1, bytes(14)), codec.frame(3, 1, b"x")),
        *(codec.encode(1, name) for name in AMQP_METHODS),
        *(codec.encode(1, f"basic.{name}", delivery_tag=1) for name in ("ack", "nack", "reject")),
        codec.encode(1, "queue.declare", queue="q", durable=True),
        codec.encode(1, "queue.bind", queue="q", exchange="amq.topic", routing_key="#"),
        codec.encode(1, "basic.consume", queue="q", nowait=True),
        codec.encode(1, "basic.ack", delivery_tag=0, multiple=True),
    ],
    "batch": [b"\x00" * 8, b"\xff" * 8, b"\x02", b"\x80" * 10, b"\x7f\xff\xff\xff"],
}


def raw(text):
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def text_corpus(name):
    for path in sorted((GOLDEN / name).glob("*.txt")):
        lines = path.read_text().splitlines()
        yield b"".join(raw(line[2:]) for line in lines if line.startswith("> "))
        if "server" in path.stem:
            yield from (raw(line[2:]) for line in lines if line.startswith("> "))


def kafka_corpus():
    for path in sorted((GOLDEN / "kafka").glob("*.hex")):
        yield bytes.fromhex("".join(path.read_text().split()))


def mqtt_corpus():
    """All that was sent on a connection, each; in the files about mosquitto a line is a connection."""
    for path in sorted((GOLDEN / "mqtt").glob("*.hex")):
        lines = path.read_text().splitlines()
        if path.stem.endswith("websocket"):
            continue
        if path.stem.startswith(("mosquitto_2", "hubbub")):
            yield from (bytes.fromhex(line[2:]) for line in lines if line[0] == ">")
            continue
        for _, connection in groupby(lines, lambda line: line == "--"):
            stream = b"".join(bytes.fromhex(line[2:]) for line in connection if line[0] == ">")
            yield from [stream] * 6  # or the short ones would be most


def amqp_corpus():
    """All that was sent on a connection, each; and the odd questions, behind a handshake."""
    for path in sorted((GOLDEN / "amqp").glob("*.hex")):
        for _, connection in groupby(path.read_text().splitlines()[1:], lambda line: line == "--"):
            said = [bytes.fromhex(line[2:]) for line in connection if line[0] == ">"]
            at = next((n for n, each in enumerate(said) if each[7:11] == AMQP_OPEN), None)
            stream = b"".join(said if at is None else [AMQP_HANDSHAKE, *said[at + 1 :]])
            yield from [stream] * 40  # or the short ones would be most
    for line in (GOLDEN / "amqp" / "answers.jsonl").read_text().splitlines():
        question = json.loads(line)
        steps = [bytes.fromhex(step) for step in question.get("setup", []) + question["send"]]
        yield b"".join(([] if question.get("raw") else [AMQP_HANDSHAKE, AMQP_CHANNEL]) + steps)


def batch_corpus():
    headers = (("a", b"1"), ("b", None))
    for attributes in (0, 1, 2, 3, 4):
        records = [(n, b"k%d" % n, b"v" * n, headers) for n in range(5)]
        yield batch.encode(records, attributes=attributes)


CORPUS = {
    "nats": lambda: text_corpus("nats"),
    "redis": lambda: text_corpus("redis"),
    "kafka": kafka_corpus,
    "mqtt": mqtt_corpus,
    "amqp": amqp_corpus,
    "batch": batch_corpus,
}


def mutated(rng, stream, corpus, words):
    """The stream with a few of the changes that parsers get wrong."""
    data = bytearray(stream)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(7)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at:at] = rng.choice(words)
        elif kind == 2:
            del data[at : at + rng.randint(1, 8)]
        elif kind == 3:
            data[at:at] = data[at : at + rng.randint(1, 64)]
        elif kind == 4:
            other = rng.choice(corpus)
            start = rng.randrange(len(other) + 1)
            data[at:] = other[start:]
        elif kind == 5:
            data[at : at + 4] = rng.randbytes(4)
        elif data:
            data[at % len(data)] = rng.choice(b"0123456789-\r\n ")
    return bytes(data[:100_000])


def amqp_frames(stream):
    """The frames of a stream, as far as there are any."""
    try:
        return [codec.frame(*each) for each in codec.split_frames(stream)]
    except HubbubError:
        return []


def amqp_mutated(rng, stream, corpus, words):
    """As `mutated`, but mostly frame by frame, which stay whole."""
    if rng.random() < 0.2:
        return mutated(rng, stream, corpus, words)
    frames = amqp_frames(stream.removeprefix(AMQP_HANDSHAKE))
    words = [word for word in words if amqp_frames(word)]
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(frames) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(frames):
            payload = bytearray(frames[at][7:-1])
            if len(payload) > 4:
                payload[rng.randrange(4, len(payload))] = rng.choice(b"\x00\x01\x02\x7f\xff#qx")
            frames[at] = codec.frame(frames[at][0], frames[at][2], bytes(payload))
        elif kind == 1:
            frames.insert(at, rng.choice(words))
        elif kind == 2:
            del frames[at : at + 1]
        elif kind == 3:
            frames[at:at] = frames[at : at + rng.randint(1, 4)]
        elif kind == 4:
            other = amqp_frames(rng.choice(corpus).removeprefix(AMQP_HANDSHAKE))
            start = rng.randrange(len(other) + 1)
            frames[at:at] = other[start : start + rng.randint(1, 12)]
        elif at + 1 < len(frames):
            frames[at], frames[at + 1] = frames[at + 1], frames[at]
    return AMQP_HANDSHAKE + b"".join(frames)[:100_000]


MUTATE = {"amqp": amqp_mutated}


def pieces(rng, stream):
    cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randint(0, 6)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def answers(double, make, rng_pieces):
    listener = make()
    client, other = double.Connection(listener), double.Connection(listener)
    said = b"".join(client.ask(piece) for piece in rng_pieces)
    other.ask(b"PING\r\n")
    return said, client.closed


def try_text(double, make, rng, stream):
    whole = answers(double, make, [stream])
    cut = answers(double, make, pieces(rng, stream))
    # Who of a queue group gets a message is random, and CLIENT LIST and INFO count what was received:
    # compared is how many lines were said.
    assert whole[0].count(b"\r\n") == cut[0].count(b"\r\n"), (stream, whole, cut)
    assert whole[1] == cut[1], (stream, whole, cut)


def try_kafka(rng, stream):
    wire = kafka_wire.Wire()
    for piece in pieces(rng, stream):
        wire.session.receive(piece)
    wire.session.disconnected()


@contextmanager
def no_errors():
    """Nothing may be raised where nothing is: what a broker contains it logs."""
    found = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: found.append(record.getMessage())
    logging.getLogger("hubbub").addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger("hubbub").removeHandler(handler)
    assert not found, found


def mqtt_kinds(stream):
    """Which packets stand in a stream, as far as it has any."""
    try:
        return {first >> 4 for first, _ in mqtt_wire.split(stream)[0]}
    except mqtt_wire.WireError:
        return set()  # which ends the connection


def mqtt_heard(connection, data):
    """What a client was told, each a packet that there is."""
    version = connection.line.session.version
    for known in [version] if version else [mqtt_wire.V5, mqtt_wire.V311]:
        try:
            return mqtt_wire.read_packets(data, known)
        except mqtt_wire.WireError as error:
            failure = error
    raise failure


def mqtt_said(packet):
    """A packet without the number that it happens to have."""
    return repr(packet._replace(packet_id=0) if isinstance(packet, mqtt_wire.Publish) else packet)


def mqtt_conversation(stream_pieces):
    """Two clients: one whose stream is mutated, which comes twice, and one that hears everything."""
    listener = mqtt_double.mqtt_listener()
    witness = mqtt_double.Client(listener, client_id="witness", **mqtt_double.kept(mqtt_wire.V5))
    witness.subscribe(("#", 2), ("$share/w/#", 1), ("+/+", 0))
    said = []
    for _ in range(2):
        client = mqtt_double.Connection(listener)
        data = b""
        for piece in stream_pieces:
            client.send(piece)
            data += client.bytes()
        heard = mqtt_heard(client, data)
        if heard and isinstance(heard[0], mqtt_wire.Connack):
            heard[0].props.pop("assigned_client_identifier", None)  # another each time
        said.append((sorted(map(mqtt_said, heard)), client.closed))
        client.drop()
        mqtt_double.pass_time(listener, 1)
        witness.take()
    witness.publish("fuzz/end", b"end", 2)
    assert b"end" in witness.payloads()
    assert witness.ask(mqtt_wire.PINGREQ) == [mqtt_wire.Pingresp()]
    witness.leave()
    assert not listener.connections
    return said


def let_in(rng, stream):
    """The stream behind a CONNECT that is right, in place of its own; half of all, or few would matter."""
    if rng.random() < 0.5 or len(stream) < 2:
        return stream
    version = rng.choice([mqtt_wire.V31, mqtt_wire.V311, mqtt_wire.V5, mqtt_wire.V5])
    connect = mqtt_wire.connect("fuzz", version, **mqtt_double.kept(version))
    return connect + stream[2 + stream[1] :]


def try_mqtt(rng, stream):
    stream = let_in(rng, stream)
    with no_errors():
        whole = mqtt_conversation([stream])
        cut = mqtt_conversation(pieces(rng, stream))
    # What is acknowledged before it can have come, and what ends before it is answered, depends on the
    # cuts, as it may.
    if not mqtt_kinds(stream) & MQTT_ACKNOWLEDGEMENTS and not any(
        closed for _, closed in whole + cut
    ):
        assert whole == cut, (stream, whole, cut)


def amqp_heard(data):
    """What a client was told, without what it happens to be called; confirms may be put together."""
    data = data.removeprefix(codec.PROTOCOL_HEADER)
    frames = list(codec.split_frames(data))
    assert sum(len(payload) + codec.FRAME_BYTES for _, _, payload in frames) == len(data), data
    heard = [(kind, number, payload[: 4 * (kind == 1)]) for kind, number, payload in frames]
    return sorted(each for each in heard if each[2] not in AMQP_CONFIRMS)


def amqp_conversation(stream_pieces):
    """Two clients: one whose stream is mutated, which comes twice, and one that hears everything."""
    listener = amqp_double.amqp_listener()
    witness = amqp_double.Connection(listener).open()
    witness.ask(
        codec.encode(1, "queue.declare", queue="witness"),
        codec.encode(1, "queue.bind", queue="witness", exchange="amq.topic", routing_key="#"),
        codec.encode(1, "queue.bind", queue="witness", exchange="amq.fanout"),
        codec.encode(1, "basic.consume", queue="witness", no_ack=True),
    )
    said = []
    for _ in range(2):
        client = amqp_double.Connection(listener)
        data = b""
        for piece in stream_pieces:
            client.send(piece)
            data += client.read()
        said.append((amqp_heard(data), client.closed))
        client.drop()
        amqp_double.pass_time(listener, 1)
        witness.read()
    other = amqp_double.Connection(listener).open()
    other.ask(
        codec.encode(1, "queue.declare", queue="end"),
        codec.encode_content(
            1, codec.encode_method("basic.publish", routing_key="end"), bytes(2), b"end", 4096
        ),
    )
    assert other.ask(codec.encode(1, "basic.get", queue="end"))[-1] == [1, "body", "end"]
    for connection in (witness, other):
        connection.drop()
    assert not listener.connections
    return said


def try_amqp(rng, stream):
    if rng.random() < 0.8:  # for those that were mutated byte by byte
        stream = AMQP_HANDSHAKE + stream[len(AMQP_HANDSHAKE) :]  # or few would be past it
    with no_errors():
        whole = amqp_conversation([stream])
        cut = amqp_conversation(pieces(rng, stream))
    # What is delivered before a channel or a connection ends depends on the cuts, as it may.
    ends = {b"\x00\x0a\x00\x32", b"\x00\x14\x00\x28"}
    if not any(closed or {each[2] for each in heard} & ends for heard, closed in whole + cut):
        assert whole == cut, (stream, whole, cut)


def try_batch(_rng, stream):
    try:
        at = 0
        for info in batch.scan(stream):
            batch.check_records(stream[at : at + info.size], info)
            at += info.size
        batch.decode(stream)
    except HubbubError:
        pass
    batch.scan_whole(stream)
    batch.find_batch(stream, 0, 0)
    batch.span(stream, 0, 2**40, 1000, at_least_one=True)


TARGETS = {
    "nats": lambda rng, stream: try_text(nats_double, nats_double.nats_listener, rng, stream),
    "redis": lambda rng, stream: try_text(redis_double, redis_double.small_listener, rng, stream),
    "kafka": try_kafka,
    "mqtt": try_mqtt,
    "amqp": try_amqp,
    "batch": try_batch,
}


def fuzz(name, seed, count=None, seconds=None):
    """Try mutations of the corpus, so many or so long; how many there were."""
    rng = random.Random(seed)
    corpus = [stream for stream in CORPUS[name]() if stream]
    end = time.monotonic() + seconds if seconds else None
    tried = 0
    while (count is None or tried < count) and (end is None or time.monotonic() < end):
        mutate = MUTATE.get(name, mutated)
        stream = mutate(rng, rng.choice(corpus), corpus, WORDS[name])
        try:
            TARGETS[name](rng, stream)
        except Exception:
            print(f"{name}, seed {seed}, mutation {tried}: {stream!r}")  # noqa: T201
            raise
        tried += 1
    return tried


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("codec", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    chosen = parser.parse_args()
    tried = fuzz(chosen.codec, chosen.seed, seconds=chosen.seconds)
    print(f"{chosen.codec}: {tried} mutations, seed {chosen.seed}, nothing found")  # noqa: T201


if __name__ == "__main__":
    main()
