"""Publishers of every protocol that says when a message is safe, without sockets, at one broker."""

from __future__ import annotations

import struct
from itertools import count

import mqtt_wire
from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer
from hubbub.protocols.bus import codec
from hubbub.protocols.bus.listener import BusListener
from hubbub.protocols.kafka.versions import PRODUCE
from hubbub.protocols.mqtt.listener import MqttListener
from hubbub.protocols.redis.listener import RedisListener
from kafka_admin import part
from kafka_wire import Wire, batch, milliseconds
from mqtt_double import Client
from redis_double import Connection, request

ADDRESS = "orders"
PEER = Peer(("127.0.0.1", 50_000), ("127.0.0.1", 1))


class Mqtt:
    """``version`` 5 unless said otherwise; ``said`` is what CONNECT says."""

    def __init__(self, broker, qos, **said):
        self.qos = qos
        self.client = Client(MqttListener(broker, {"sys_interval": 0}), **said)
        self._packet_ids = count(1)

    def publish(self, *values):
        """Publish in one chunk."""
        more = [{"packet_id": next(self._packet_ids)} if self.qos else {} for _ in values]
        self.client.send(*(
            mqtt_wire.publish(ADDRESS, value, self.qos, version=self.client.version, **each)
            for value, each in zip(values, more, strict=True)
        ))  # fmt: skip

    def heard(self):
        """Of each publish that was answered since the last look, whether it is safe."""
        answers = self.client.packets()
        if self.client.closed and not answers:
            return [False]  # as a client of before version 5 is told
        return [
            not isinstance(each, mqtt_wire.Disconnect) and each.reason < 0x80 for each in answers
        ]


class Kafka:
    def __init__(self, broker, acks):
        self.acks = acks
        self.wire = Wire(broker)
        self.wire.topic(ADDRESS)

    def publish(self, *values):
        part_of_it = part("PartitionProduceData", index=0, records=batch(*values))
        self.wire.send(
            PRODUCE, 8, transactional_id=None, acks=self.acks, timeout=milliseconds(1000),
            topic_data=[part("TopicProduceData", name=ADDRESS, partition_data=[part_of_it])],
        )  # fmt: skip

    def heard(self):
        return [
            each.error_code == 0
            for _, response in self.wire.responses()
            for each in response.responses[0].partition_responses
        ]


class Redis:
    def __init__(self, broker):
        self.connection = Connection(RedisListener(broker))

    def publish(self, *values):
        self.connection.session.receive(
            b"".join(request("PUBLISH", ADDRESS, value) for value in values)
        )

    def heard(self):
        return [line.startswith(b":") for line in self.connection.read().splitlines()]


class Bus:
    def __init__(self, broker):
        self.outbox = Outbox()
        self.session = BusListener(broker).session(PEER, self.outbox)
        self._numbers = count(2)
        self._send(codec.Hello(1, codec.VERSION, "tester"))
        self.outbox.take()

    def publish(self, *values):
        self._send(*(
            codec.Publish(next(self._numbers), codec.WireMessage(ADDRESS, value))
            for value in values
        ))  # fmt: skip

    def heard(self):
        data = b"".join(self.outbox.take())
        found = []
        while data:
            (size,) = struct.unpack_from(">I", data)
            answer = codec.decode_response(data[4 : 4 + size])
            found.append(isinstance(answer, codec.Published))
            data = data[4 + size :]
        return found

    def _send(self, *requests):
        self.session.receive(b"".join(map(codec.frame, requests)))


SURE = {
    "mqtt-qos1": lambda broker: Mqtt(broker, 1),
    "mqtt-qos2": lambda broker: Mqtt(broker, 2),
    "mqtt3-qos1": lambda broker: Mqtt(broker, 1, version=mqtt_wire.V311),
    "kafka-acks1": lambda broker: Kafka(broker, 1),
    "kafka-all": lambda broker: Kafka(broker, -1),
    "redis": Redis,
    "bus": Bus,
}
UNSURE = {
    "mqtt-qos0": lambda broker: Mqtt(broker, 0),
    "kafka-acks0": lambda broker: Kafka(broker, 0),
}
