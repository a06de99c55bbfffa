"""What users of MQTT do all day, with paho-mqtt and aiomqtt as they come."""

from __future__ import annotations

import asyncio
import itertools
import uuid

import aiomqtt
import pytest
from aiomqtt import ProtocolVersion

from clients import WAIT_SECONDS
from paho_client import VERSIONS, PahoClient, connected

pytestmark = pytest.mark.server

LARGE = 1024 * 1024
EACH_VERSION = pytest.mark.parametrize("version", VERSIONS)
EACH_QOS = pytest.mark.parametrize("qos", [0, 1, 2])


@pytest.fixture
def name():
    """A topic that is the test's own."""
    return f"mqtt/{uuid.uuid4().hex}"


def shown(messages):
    return [(message.topic, message.payload, message.qos, message.retain) for message in messages]


# Publish and subscribe


@EACH_VERSION
@EACH_QOS
def test_messages_arrive_whole_once_and_in_order(shared_server, name, version, qos):
    payloads = [b"%d" % number for number in range(300)] + [b"", b"\x00\xff", b"x" * LARGE]
    with connected(shared_server, 2, version) as (publisher, subscriber):
        assert subscriber.subscribe(name, qos=2) == [2]
        for payload in payloads:
            publisher.client.publish(name, payload, qos)
        messages = subscriber.take(len(payloads))
        assert [message.payload for message in messages] == payloads
        assert {message.qos for message in messages} == {qos}
        assert subscriber.rest() == []


@EACH_VERSION
def test_a_subscriber_gets_no_more_than_it_asked_for(shared_server, name, version):
    with PahoClient(shared_server, version) as client:
        for granted in (0, 1, 2):
            assert client.subscribe(name, qos=granted) == [granted]
            for qos in (0, 1, 2):
                client.publish(name, b"", qos)
            assert [m.qos for m in client.take(3)] == [min(granted, qos) for qos in (0, 1, 2)]


@EACH_VERSION
def test_wildcards_match_by_level(shared_server, name, version):
    topics = [name, f"{name}/", f"{name}/a", f"{name}/a/b", f"{name}//b", f"{name}/b"]
    expected = {
        f"{name}/#": topics,
        f"{name}/+": [f"{name}/", f"{name}/a", f"{name}/b"],
        f"{name}/+/b": [f"{name}/a/b", f"{name}//b"],
        f"+/{name.removeprefix('mqtt/')}/a": [f"{name}/a"],
    }
    with connected(shared_server, 1 + len(expected), version) as (publisher, *subscribers):
        for subscriber, pattern in zip(subscribers, expected, strict=True):
            subscriber.subscribe(pattern)
        for topic in topics:
            publisher.publish(topic)
        for subscriber, wanted in zip(subscribers, expected.values(), strict=True):
            assert [message.topic for message in subscriber.rest()] == wanted


@EACH_VERSION
def test_what_was_unsubscribed_comes_no_more(shared_server, name, version):
    with PahoClient(shared_server, version) as client:
        client.subscribe(f"{name}/#", f"{name}/b")
        client.unsubscribe(f"{name}/#")
        for topic in (f"{name}/a", f"{name}/b"):
            client.publish(topic)
        assert [message.topic for message in client.rest()] == [f"{name}/b"]


@EACH_VERSION
def test_names_of_zigbee2mqtt_and_sparkplug_arrive_as_they_are(shared_server, name, version):
    topics = [
        f"{name}/zigbee2mqtt/Living Room Lamp/set",
        f"{name}/zigbee2mqtt/Küche 1.Stock/état",
        f"{name}/spBv1.0/Plant 1.2/DDATA/Edge.7/Pump",
        f"{name}/a*b/>/c d/%20/_x2E/",
        f"{name}//",
        f"{name}/$share/ø/🦉",
    ]
    with connected(shared_server, 2, version) as (publisher, subscriber):
        subscriber.subscribe(f"{name}/#")
        for topic in topics:
            publisher.publish(topic, topic.encode(), retain=True)
        assert [(m.topic, m.payload.decode()) for m in subscriber.take(len(topics))] == [
            (topic, topic) for topic in topics
        ]
        subscriber.subscribe(f"{name}/zigbee2mqtt/+/set", f"{name}/spBv1.0/+/DDATA/#")
        assert sorted(m.topic for m in subscriber.take(2)) == sorted([topics[0], topics[2]])


# Retained


@EACH_VERSION
def test_retained_messages_are_found_by_wildcards(shared_server, name, version):
    with connected(shared_server, 2, version) as (publisher, late):
        for qos in (0, 1, 2):
            publisher.publish(f"{name}/{qos}/state", b"old", qos, retain=True)
            publisher.publish(f"{name}/{qos}/state", b"on", qos, retain=True)
        publisher.publish(f"{name}/0/state", b"passing", 1)
        late.subscribe(f"{name}/+/state")
        assert sorted(shown(late.rest())) == [
            (f"{name}/{qos}/state", b"on", qos, True) for qos in (0, 1, 2)
        ]
        publisher.publish(f"{name}/0/state", b"off", 0, retain=True)
        assert shown(late.take(1)) == [(f"{name}/0/state", b"off", 0, False)]


@EACH_VERSION
def test_an_empty_message_clears_what_was_retained(shared_server, name, version):
    with connected(shared_server, 2, version) as (publisher, late):
        for device in ("a", "b"):
            publisher.publish(f"{name}/{device}", b"on", retain=True)
        publisher.publish(f"{name}/a", b"", retain=True)
        late.subscribe(f"{name}/#")
        assert [message.topic for message in late.rest()] == [f"{name}/b"]


def test_what_is_retained_outlives_the_server(server, name):
    with PahoClient(server) as publisher:
        for qos in (0, 1, 2):
            publisher.publish(
                f"{name}/{qos}", b"kept", qos, retain=True, ContentType="text/plain",
                UserProperty=[("b", "1"), ("a", "2"), ("b", "3")],
            )  # fmt: skip
        publisher.publish(f"{name}/1", b"", retain=True)
    server.kill()
    server.start()
    with PahoClient(server) as late:
        late.subscribe(f"{name}/#")
        messages = late.rest()
    assert sorted(shown(messages)) == [(f"{name}/{qos}", b"kept", qos, True) for qos in (0, 2)]
    for message in messages:
        assert message.properties.ContentType == "text/plain"
        assert message.properties.UserProperty == [("b", "1"), ("a", "2"), ("b", "3")]


def test_retain_handling_and_retain_as_published(shared_server, name):
    with connected(shared_server, 2) as (publisher, subscriber):
        publisher.publish(name, b"kept", retain=True)
        subscriber.subscribe(name, retainHandling=2, retainAsPublished=True)
        assert subscriber.rest() == []
        subscriber.subscribe(name, retainHandling=1)
        assert subscriber.rest() == []  # not new
        subscriber.unsubscribe(name)
        subscriber.subscribe(name, retainHandling=1, retainAsPublished=True)
        publisher.publish(name, b"live", retain=True)
        publisher.publish(name, b"passing")
        assert [(m.payload, m.retain) for m in subscriber.rest()] == [
            (b"kept", True), (b"live", True), (b"passing", False),
        ]  # fmt: skip


# Wills


@EACH_VERSION
@EACH_QOS
def test_a_will_tells_of_a_lost_client_only(shared_server, name, version, qos):
    with PahoClient(shared_server, version) as watcher:
        watcher.subscribe(name)
        leaving = PahoClient(shared_server, version, will=(name, b"gone", qos, True)).connect()
        leaving.close()
        PahoClient(shared_server, version, leaving.client_id).connect().close()
        assert watcher.rest() == []
        lost = PahoClient(shared_server, version, will=(name, b"gone", qos, True)).connect()
        lost.drop()
        assert shown(watcher.take(1)) == [(name, b"gone", qos, False)]
        watcher.subscribe(name)
        assert shown(watcher.take(1)) == [(name, b"gone", qos, True)]


def test_a_will_keeps_its_properties(shared_server, name):
    with PahoClient(shared_server) as watcher:
        watcher.subscribe(name)
        lost = PahoClient(
            shared_server, will=(name, b"gone", 1, False), will_ContentType="text/plain",
            will_CorrelationData=b"\x00\x01", will_ResponseTopic="re/born",
            will_UserProperty=[("b", "1"), ("a", "2")],
        )  # fmt: skip
        lost.connect().drop()
        [message] = watcher.take(1)
        assert message.properties.ContentType == "text/plain"
        assert message.properties.CorrelationData == b"\x00\x01"
        assert message.properties.ResponseTopic == "re/born"
        assert message.properties.UserProperty == [("b", "1"), ("a", "2")]


def test_a_delayed_will_waits_no_longer_than_the_session(shared_server, name):
    lost = PahoClient(
        shared_server, will=(name, b"gone", 1, False), will_WillDelayInterval=3600,
        SessionExpiryInterval=1,
    )  # fmt: skip
    with PahoClient(shared_server) as watcher:
        watcher.subscribe(name)
        lost.connect().drop()
        assert watcher.payloads(1) == [b"gone"]


def test_a_client_that_is_back_in_time_has_no_will(shared_server, name):
    will = {"will": (name, b"gone", 1, False), "will_WillDelayInterval": 1}
    with PahoClient(shared_server) as watcher:
        watcher.subscribe(name)
        first = PahoClient(shared_server, kept=True, **will).connect()
        first.drop()
        with PahoClient(shared_server, client_id=first.client_id, kept=True) as back:
            assert back.session_present
            other = PahoClient(
                shared_server, kept=True, **will | {"will": (name, b"2nd", 1, False)}
            )
            other.connect().drop()
            assert watcher.payloads(1) == [b"2nd"]  # the first's would have come before it


# Sessions


@EACH_VERSION
def test_a_kept_session_gets_what_it_missed(shared_server, name, version):
    client = PahoClient(shared_server, version, kept=True)
    with client:
        assert not client.session_present
        client.subscribe(f"{name}/#")
    with PahoClient(shared_server, version) as publisher:
        for number in range(100):
            publisher.publish(f"{name}/{number % 3}", b"%d" % number, 1 + number % 2)
    with PahoClient(shared_server, version, client.client_id, kept=True) as back:
        assert back.session_present == (version != "3.1")  # which has no such flag
        messages = back.take(100)
        for qos in (1, 2):  # each in order; paho hands over a QoS 2 message when its PUBREL comes
            payloads = [message.payload for message in messages if message.qos == qos]
            assert payloads == [b"%d" % number for number in range(qos - 1, 100, 2)]
        assert back.rest() == []
    with PahoClient(shared_server, version, client.client_id) as clean:
        assert not clean.session_present
        clean.publish(f"{name}/0")
        assert clean.rest() == []


@EACH_VERSION
def test_what_was_not_acknowledged_comes_again(shared_server, name, version):
    client = PahoClient(shared_server, version, kept=True, manual_ack=True)
    with PahoClient(shared_server, version) as publisher:
        client.connect().subscribe(name, qos=1)
        for payload in (b"1", b"2", b"3"):
            publisher.publish(name, payload)
        first, second, third = client.take(3)
        assert [message.dup for message in (first, second, third)] == [False] * 3
        client.client.ack(first.mid, 1)
        client.publish(f"{name}/after")  # its answer comes after the server saw what went before
        client.drop()
        client.connect()
        again = client.take(2)
        assert [(m.payload, m.dup, m.mid) for m in again] == [
            (b"2", True, second.mid), (b"3", True, third.mid),
        ]  # fmt: skip
        for message in again:
            client.client.ack(message.mid, 1)
        client.close()


@EACH_VERSION
def test_a_session_outlives_the_server(server, name, version):
    with PahoClient(server, version, kept=True) as client:
        client.subscribe(f"{name}/#", qos=2)
    with PahoClient(server, version) as publisher:
        for number in range(50):
            publisher.publish(f"{name}/a", b"%d" % number, 2)
        server.kill()
    server.start()
    with PahoClient(server, version, client.client_id, kept=True) as back:
        assert back.session_present == (version != "3.1")
        assert back.payloads(50) == [b"%d" % number for number in range(50)]
        back.publish(f"{name}/b", b"still subscribed")
        assert [message.payload for message in back.rest()] == [b"still subscribed"]
    server.kill()
    server.start()
    with PahoClient(server, version, client.client_id, kept=True) as back:
        assert back.rest() == []  # what was acknowledged stays so


def test_a_publisher_carries_on_after_the_server_died(server, name):
    """Every QoS 2 message arrives, once, in order: those too that it had no answer for."""
    subscriber = PahoClient(server, kept=True, reconnects=True).connect()
    subscriber.subscribe(name)
    publisher = PahoClient(server, kept=True, reconnects=True).connect()
    infos = [publisher.client.publish(name, b"%d" % number, 2) for number in range(200)]
    infos[20].wait_for_publish(WAIT_SECONDS)
    server.kill()
    infos += [publisher.client.publish(name, b"%d" % number, 2) for number in range(200, 250)]
    server.start()
    for info in infos:
        info.wait_for_publish(WAIT_SECONDS)
    assert subscriber.payloads(250) == [b"%d" % number for number in range(250)]
    assert subscriber.rest() == []
    publisher.close()
    subscriber.close()


@EACH_VERSION
def test_a_second_client_of_the_same_id_takes_over(shared_server, name, version):
    first = PahoClient(shared_server, version, kept=True).connect()
    first.subscribe(name)
    with PahoClient(shared_server, version, first.client_id, kept=True) as second:
        first.told("disconnected")
        second.publish(name, b"to the second")
        assert [message.payload for message in second.rest()] == [b"to the second"]
    first.client.loop_stop()


def test_receive_maximum_holds_back_what_is_not_acknowledged(shared_server, name):
    client = PahoClient(shared_server, manual_ack=True, ReceiveMaximum=2)
    with client, PahoClient(shared_server) as publisher:
        client.subscribe(name, qos=1)
        for number in range(5):
            publisher.publish(name, b"%d" % number)
        publisher.publish(name, b"not counted", 0)
        taken = client.take(3)
        assert sorted(m.payload for m in taken) == [b"0", b"1", b"not counted"]
        waiting = [message for message in taken if message.qos]
        for _ in range(3):
            client.client.ack(waiting.pop(0).mid, 1)
            waiting += client.take(1)
        assert [message.payload for message in waiting] == [b"3", b"4"]


# Shared subscriptions


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_shared_subscription_shares(shared_server, name, version):
    with connected(shared_server, 5, version) as (publisher, plain, *members):
        plain.subscribe(f"{name}/#")
        for member in members:
            member.subscribe(f"$share/workers/{name}/#")
        for number in range(300):
            publisher.client.publish(f"{name}/{number % 7}", b"%d" % number, 1)
        assert plain.payloads(300) == [b"%d" % number for number in range(300)]
        got = [[int(message.payload) for message in member.rest()] for member in members]
        assert all(got)
        assert sorted(itertools.chain(*got)) == list(range(300))
        assert got == [sorted(numbers) for numbers in got]


def test_the_others_of_a_share_take_what_a_member_left(shared_server, name):
    with connected(shared_server, 3) as (publisher, leaving, staying):
        for member in (leaving, staying):
            member.subscribe(f"$share/workers/{name}", qos=1)
        leaving.unsubscribe(f"$share/workers/{name}")
        for number in range(10):
            publisher.publish(name, b"%d" % number)
        assert staying.payloads(10) == [b"%d" % number for number in range(10)]
        assert leaving.rest() == []


# MQTT 5


@EACH_QOS
def test_properties_of_a_message_arrive(shared_server, name, qos):
    pairs = [("b", "1"), ("a", "ü"), ("b", ""), ("", "3")]
    with connected(shared_server, 2) as (publisher, subscriber):
        subscriber.subscribe(name)
        publisher.publish(
            name, b"x", qos, PayloadFormatIndicator=1, ContentType="text/plain",
            ResponseTopic="answer here/ü", CorrelationData=b"\x00\xff", UserProperty=pairs,
            MessageExpiryInterval=3600,
        )  # fmt: skip
        publisher.publish(name, b"y", qos)
        full, empty = subscriber.take(2)
        assert full.properties.json() == {
            "PayloadFormatIndicator": 1, "ContentType": "text/plain", "UserProperty": pairs,
            "ResponseTopic": "answer here/ü", "CorrelationData": "00ff",
            "MessageExpiryInterval": 3600,
        }  # fmt: skip
        assert empty.properties.json() == {}


def test_a_request_is_answered(shared_server, name):
    with connected(shared_server, 2) as (requester, responder):
        responder.subscribe(name, qos=1)
        requester.subscribe(f"{name}/answers", qos=1)
        for number in range(20):
            requester.publish(
                name,
                b"%d" % number,
                ResponseTopic=f"{name}/answers",
                CorrelationData=b"#%d" % number,
            )
        for request in responder.take(20):
            asked = request.properties
            responder.publish(
                asked.ResponseTopic,
                b"re: " + request.payload,
                CorrelationData=asked.CorrelationData,
            )
        answers = requester.take(20)
        assert [(m.payload, m.properties.CorrelationData) for m in answers] == [
            (b"re: %d" % number, b"#%d" % number) for number in range(20)
        ]


def test_a_message_that_expired_is_not_delivered(shared_server, name):
    with PahoClient(shared_server, kept=True) as client:
        client.subscribe(f"{name}/queued")
    with connected(shared_server, 2) as (publisher, late):
        for topic, retain in ((f"{name}/queued", False), (f"{name}/kept", True)):
            for expiry in (1, 3600):
                publisher.publish(f"{topic}", b"%d" % expiry, retain=retain,
                                  MessageExpiryInterval=expiry)  # fmt: skip
        publisher.publish(f"{name}/clock", b"tick", retain=True, MessageExpiryInterval=2)
        while True:  # until the clock's message has expired
            late.subscribe(f"{name}/clock")
            if not late.rest():
                break
        late.subscribe(f"{name}/kept")
        [kept] = late.rest()
    with PahoClient(shared_server, client_id=client.client_id, kept=True) as client:
        [queued] = client.rest()
    for message in (kept, queued):
        assert message.payload == b"3600"
        assert 0 < message.properties.MessageExpiryInterval < 3600


def test_topic_aliases_stand_for_topics(shared_server, name):
    with connected(shared_server, 2) as (publisher, subscriber):
        assert publisher.granted.TopicAliasMaximum > 1
        subscriber.subscribe(f"{name}/#")
        for topic, alias in (("a", 1), ("b", 2), ("", 1), ("", 2), ("c", 1), ("", 1), ("", 2)):
            publisher.publish(topic and f"{name}/{topic}", b"", 0, TopicAlias=alias)
        publisher.publish(f"{name}/end")
        assert [message.topic.removeprefix(f"{name}/") for message in subscriber.rest()] == [
            "a", "b", "a", "b", "c", "c", "b", "end",
        ]  # fmt: skip


def test_no_local_and_subscription_identifiers(shared_server, name):
    with connected(shared_server, 2) as (one, other):
        one.subscribe(name, noLocal=True, identifier=268_435_455)
        other.subscribe(f"{name}/#", identifier=7)
        one.publish(name, b"mine")
        other.publish(name, b"yours")
        [message] = one.rest()
        assert message.payload == b"yours"
        assert message.properties.SubscriptionIdentifier == [268_435_455]
        messages = other.rest()
        assert [m.payload for m in messages] == [b"mine", b"yours"]
        assert [m.properties.SubscriptionIdentifier for m in messages] == [[7], [7]]


def test_a_message_too_large_for_a_client_does_not_reach_it(shared_server, name):
    small = PahoClient(shared_server, MaximumPacketSize=200)
    with small, connected(shared_server, 2) as (publisher, large):
        for client in (small, large):
            client.subscribe(name)
        for size in (10, 1000, 20):
            publisher.publish(name, b"x" * size)
        assert [len(payload) for payload in large.payloads(3)] == [10, 1000, 20]
        assert [len(message.payload) for message in small.rest()] == [10, 20]


# Home Assistant and Sparkplug


def test_home_assistant_discovers_devices_before_and_after_its_start(shared_server, name):
    """Retained configuration by wildcard, availability by a retained will, birth and restart."""
    discovery, bridge = f"{name}/homeassistant", f"{name}/zigbee2mqtt/bridge/state"
    device = PahoClient(shared_server, will=(bridge, b"offline", 1, True)).connect()
    device.subscribe(f"{discovery}/status")
    device.publish(bridge, b"online", retain=True)
    device.publish(f"{discovery}/sensor/0x01/config", b'{"name": "T"}', retain=True)

    assistant = PahoClient(
        shared_server, "3.1.1", will=(f"{discovery}/status", b"offline", 0, True)
    )
    assistant.connect()
    assistant.subscribe(f"{discovery}/+/+/config", bridge, qos=0)
    assistant.publish(f"{discovery}/status", b"online", 0, retain=True)
    assert sorted((m.payload, m.retain) for m in assistant.take(2)) == [
        (b"online", True), (b'{"name": "T"}', True),
    ]  # fmt: skip
    assert device.payloads(1) == [b"online"]

    device.publish(f"{discovery}/light/0x02/config", b'{"name": "L"}', retain=True)
    assert [(m.payload, m.retain) for m in assistant.take(1)] == [(b'{"name": "L"}', False)]
    device.drop()
    assert [(m.payload, m.retain) for m in assistant.take(1)] == [(b"offline", False)]

    assistant.drop()
    with PahoClient(shared_server, "3.1.1", assistant.client_id) as restarted:
        restarted.subscribe(f"{discovery}/#", bridge)
        assert sorted(message.payload for message in restarted.rest()) == [
            b"offline", b"offline", b'{"name": "L"}', b'{"name": "T"}',
        ]  # fmt: skip


def test_a_sparkplug_host_hears_birth_data_and_death(shared_server, name):
    group = f"spBv1.0/{name.replace('/', '.')} 1"
    with PahoClient(shared_server, "3.1.1") as host:
        host.subscribe(f"{group}/#", qos=0)
        node = PahoClient(
            shared_server, "3.1.1", will=(f"{group}/NDEATH/e.1", b"\x08\x07", 1, False)
        )
        node.connect().subscribe(f"{group}/NCMD/e.1", qos=1)
        node.publish(f"{group}/NBIRTH/e.1", b"\x08\x07\x00", 0)
        host.publish(f"{group}/NCMD/e.1", b"rebirth", 0)
        assert node.payloads(1) == [b"rebirth"]
        node.publish(f"{group}/DDATA/e.1/pump 3", bytes(range(256)), 0)
        node.drop()
        assert [(m.topic, m.payload) for m in host.take(4)] == [
            (f"{group}/NBIRTH/e.1", b"\x08\x07\x00"),
            (f"{group}/NCMD/e.1", b"rebirth"),
            (f"{group}/DDATA/e.1/pump 3", bytes(range(256))),
            (f"{group}/NDEATH/e.1", b"\x08\x07"),
        ]


# aiomqtt


def with_aiomqtt(server, scenario, **options):
    async def run():
        port = server.ports["mqtt"]
        async with (
            asyncio.timeout(WAIT_SECONDS),
            aiomqtt.Client("127.0.0.1", port, **options) as client,
        ):
            await scenario(client)

    asyncio.run(run())


async def heard(client, count):
    """The next so many messages."""
    messages = aiter(client.messages)
    return [await anext(messages) for _ in range(count)]


@pytest.mark.parametrize("version", [ProtocolVersion.V31, ProtocolVersion.V311, ProtocolVersion.V5])
def test_aiomqtt_publishes_concurrently_and_hears_everything(shared_server, name, version):
    async def scenario(client):
        await client.subscribe(f"{name}/#", 2)
        await asyncio.gather(
            *(client.publish(f"{name}/{n}", b"%d" % n, n % 3) for n in range(60))
        )  # fmt: skip
        messages = await heard(client, 60)
        assert sorted(int(m.payload) for m in messages) == list(range(60))
        assert all(m.qos == int(m.payload) % 3 for m in messages)
        assert all(m.topic.matches(f"{name}/+") for m in messages)

    with_aiomqtt(shared_server, scenario, protocol=version, identifier=f"a{uuid.uuid4().hex[:20]}")


def test_aiomqtt_hears_the_will_of_another(shared_server, name):
    async def scenario(client):
        await client.subscribe(name, 1)
        will = (name, b"gone", 1, False)
        lost = await asyncio.to_thread(PahoClient(shared_server, "3.1.1", will=will).connect)
        await asyncio.to_thread(lost.drop)
        [message] = await heard(client, 1)
        assert (message.payload, message.qos, message.retain) == (b"gone", 1, False)

    with_aiomqtt(shared_server, scenario, protocol=ProtocolVersion.V5)


# WebSocket


@EACH_VERSION
def test_paho_speaks_through_a_websocket(shared_server, name, version):
    payloads = [b"", b"\x00\xff", b"x" * 200_000]
    with (
        PahoClient(shared_server, version, websocket=True) as inside,
        PahoClient(shared_server, version) as outside,
    ):
        for client in (inside, outside):
            client.subscribe(name)
        for payload, publisher in zip(payloads, (inside, outside, inside), strict=True):
            publisher.publish(name, payload, 2)
        assert inside.payloads(3) == outside.payloads(3) == payloads
