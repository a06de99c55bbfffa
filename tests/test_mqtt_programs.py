"""MQTT from a shell and from Node: mosquitto's clients and MQTT.js as they come."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from contextlib import ExitStack, contextmanager

import pytest

from clients import WAIT_SECONDS
from node_client import ClientError
from paho_client import PahoClient

pytestmark = pytest.mark.server

EACH_VERSION = pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
EACH_OF_NODE = pytest.mark.parametrize("version", ["3", "4", "5"])


@pytest.fixture
def name():
    """A topic that is the test's own."""
    return f"programs/{uuid.uuid4().hex}"


# mosquitto_pub, mosquitto_sub, mosquitto_rr


class Programs:
    """mosquitto's clients, at one server."""

    def __init__(self, port):
        self.port = str(port)

    def _command(self, program, arguments):
        return [program, "-h", "127.0.0.1", "-p", self.port, *arguments]

    def run(self, program, *arguments, says=""):
        """The lines that it prints until it ends; it has ``says`` to read."""
        done = subprocess.run(
            self._command(program, arguments),
            input=says,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    @contextmanager
    def started(self, program, *arguments):
        """The lines of a started program, to be read."""
        process = subprocess.Popen(
            self._command(program, arguments), stdout=subprocess.PIPE, text=True
        )
        try:
            yield process.stdout
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    @contextmanager
    def subscribed(self, topic, *arguments):
        """The lines of a mosquitto_sub that is subscribed to what comes right below the topic."""
        self.run("mosquitto_pub", "-t", f"{topic}/ready", "-m", "ready", "-r", "-q", "1")
        with self.started("mosquitto_sub", "-t", f"{topic}/+", *arguments) as lines:
            assert "ready" in lines.readline()  # what is retained comes once it is subscribed
            yield lines


@pytest.fixture
def programs(shared_server):
    for program in ("mosquitto_pub", "mosquitto_sub", "mosquitto_rr"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: it is in Debian's mosquitto-clients")
    return Programs(shared_server.ports["mqtt"])


def read(lines, count):
    return [lines.readline().rstrip("\n") for _ in range(count)]


@EACH_VERSION
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_each_line_that_is_published_is_printed(programs, name, version, qos):
    said = [f"line {number}" for number in range(100)]
    arguments = ("-V", version, "-q", qos, "-t", f"{name}/a b.c")
    with programs.subscribed(name, "-V", version, "-q", "2", "-F", "%t %q %p") as lines:
        programs.run("mosquitto_pub", *arguments, "-l", says="\n".join(said))
        assert read(lines, 100) == [f"{name}/a b.c {qos} {line}" for line in said]


@EACH_VERSION
def test_what_is_retained_is_printed_until_it_is_cleared(programs, shared_server, name, version):
    publish = ("mosquitto_pub", "-V", version, "-r", "-q", "1")
    for number in range(3):
        programs.run(*publish, "-t", f"{name}/{number}", "-m", "on")
    printed = programs.run(
        "mosquitto_sub", "-V", version, "-t", f"{name}/#", "--retained-only", "-v", "-C", "3"
    )
    assert sorted(printed) == [f"{name}/{number} on" for number in range(3)]
    for number in range(3):
        programs.run(*publish, "-t", f"{name}/{number}", "-n")
    with PahoClient(shared_server) as late:
        late.subscribe(f"{name}/#")
        assert late.rest() == []


@EACH_VERSION
def test_a_session_without_its_subscriber_fills(programs, name, version):
    session = ("-V", version, "-i", f"s{uuid.uuid4().hex[:20]}", "-c", "-t", name, "-q", "1")
    programs.run("mosquitto_sub", *session, "-E")
    for payload in ("1", "2", "3"):
        programs.run("mosquitto_pub", "-V", version, "-t", name, "-q", "1", "-m", payload)
    assert programs.run("mosquitto_sub", *session, "-C", "3") == ["1", "2", "3"]


def test_properties_from_the_command_line_are_printed(programs, name):
    wanted = {
        "content-type": "text/plain",
        "response-topic": "answer here",
        "correlation-data": "7",
        "payload-format-indicator": 1,
        "message-expiry-interval": 3600,
    }
    chosen = [word for pair in wanted.items() for word in ("-D", "publish", *map(str, pair))]
    pairs = [("b", "1"), ("a", "2"), ("c", "3")]
    chosen += [word for pair in pairs for word in ("-D", "publish", "user-property", *pair)]
    with programs.subscribed(name, "-V", "mqttv5", "-q", "1", "-F", "%j") as lines:
        programs.run(
            "mosquitto_pub", "-V", "mqttv5", "-t", f"{name}/a", "-m", "x", "-q", "1", *chosen
        )
        printed = json.loads(lines.readline())
    assert list(printed["properties"].pop("user-properties").items()) == pairs
    assert printed["properties"] == wanted
    assert (printed["topic"], printed["payload"], printed["qos"]) == (f"{name}/a", "x", 1)


def test_the_will_of_a_killed_program_is_printed(programs, name):
    will = ("--will-topic", f"{name}/will", "--will-payload", "gone", "--will-qos", "1")
    with programs.subscribed(name) as lines:
        with programs.subscribed(f"{name}/other", *will):
            """Killed at its end."""
        assert read(lines, 1) == ["gone"]


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_a_request_from_the_shell_is_answered(programs, shared_server, name, version):
    answers = f"{name}/answers"
    request = ("-V", version, "-t", name, "-e", answers, "-m", "what?", "-q", "1")
    if version == "mqttv5":
        request += ("-D", "publish", "correlation-data", "7")
    with PahoClient(shared_server) as responder:
        responder.subscribe(name, qos=1)
        with programs.started("mosquitto_rr", *request, "-F", "%p %D") as lines:
            [message] = responder.take(1)
            assert message.payload == b"what?"
            more = {}
            if version == "mqttv5":
                assert message.properties.ResponseTopic == answers
                more["CorrelationData"] = message.properties.CorrelationData
            responder.publish(answers, b"that", **more)
            assert lines.readline().split() == ["that", *(["7"] if more else [])]


# MQTT.js


@EACH_OF_NODE
def test_node_hears_what_paho_publishes(shared_server, mqtt_js, name, version):
    with (
        mqtt_js.started(
            shared_server.mqtt, "sub", f"{name}/#", "4", MQTT_VERSION=version
        ) as subscriber,
        PahoClient(shared_server) as publisher,
    ):
        for qos in (0, 1, 2):
            publisher.publish(f"{name}/{qos}", b"\x00\xff%d" % qos, qos, retain=True)
        publisher.publish(f"{name}/end")
        got = sorted(subscriber.messages(), key=lambda message: message.topic)
    assert [(m.topic, m.payload, m.qos, m.retain) for m in got] == [
        *((f"{name}/{qos}", b"\x00\xff%d" % qos, qos, False) for qos in (0, 1, 2)),
        (f"{name}/end", b"", 1, False),
    ]


@EACH_OF_NODE
def test_paho_hears_what_node_publishes(shared_server, mqtt_js, name, version):
    with PahoClient(shared_server) as subscriber:
        subscriber.subscribe(f"{name}/#")
        for qos in "012":
            mqtt_js.run(
                shared_server.mqtt, "pub", qos, "1", f"{name}/{qos}", "one", "two",
                MQTT_VERSION=version,
            )  # fmt: skip
            assert [(m.payload, m.qos) for m in subscriber.take(2)] == [
                (b"one", int(qos)), (b"two", int(qos)),
            ]  # fmt: skip
    got = mqtt_js.run(shared_server.mqtt, "sub", f"{name}/#", "3", MQTT_VERSION=version)
    assert sorted((m.topic, m.payload, m.retain) for m in got) == [
        (f"{name}/{qos}", b"two", True) for qos in (0, 1, 2)
    ]


@EACH_OF_NODE
def test_a_session_of_node_gets_what_it_missed(shared_server, mqtt_js, name, version):
    session = {"MQTT_VERSION": version, "MQTT_SESSION": f"n{uuid.uuid4().hex[:20]}"}
    with PahoClient(shared_server) as publisher:
        publisher.publish(f"{name}/a", b"kept", retain=True)
        mqtt_js.run(shared_server.mqtt, "sub", f"{name}/+", "1", **session)
        publisher.publish(f"{name}/a", b"", retain=True)
        for number in range(10):
            publisher.publish(f"{name}/b", b"%d" % number)
    got = mqtt_js.run(shared_server.mqtt, "sub", f"{name}/+", "11", **session)
    assert [m.payload for m in got] == [b"", *(b"%d" % number for number in range(10))]


def test_properties_of_node_arrive_and_come_back(shared_server, mqtt_js, name):
    sent = {
        "contentType": "text/plain",
        "payloadFormatIndicator": True,
        "messageExpiryInterval": 3600,
        "responseTopic": "answer here",
        "userProperties": {"b": ["1", "3"], "a": "2"},
    }
    with (
        mqtt_js.started(shared_server.mqtt, "sub", name, "1") as node,
        PahoClient(shared_server) as paho,
    ):
        paho.subscribe(name)
        mqtt_js.run(shared_server.mqtt, "properties", name, "x", json.dumps(sent))
        assert node.messages()[0].properties == sent
        [message] = paho.take(1)
    assert message.properties.UserProperty == [("b", "1"), ("b", "3"), ("a", "2")]
    assert message.properties.ContentType == "text/plain"


def test_a_request_of_node_is_answered_by_node(shared_server, mqtt_js, name):
    with mqtt_js.started(shared_server.mqtt, "reply", name, "1"):
        [answer] = mqtt_js.run(shared_server.mqtt, "request", name, "hello")
    assert answer.payload == b"re: hello"
    assert answer.properties == {"correlationData": "7"}


def test_members_of_node_share(shared_server, mqtt_js, name):
    """Each member ends when it has got one message: only if they share do both end."""
    with ExitStack() as stack:
        members = [
            stack.enter_context(
                mqtt_js.started(shared_server.mqtt, "sub", f"$share/workers/{name}", "1")
            )
            for _ in range(2)
        ]
        mqtt_js.run(shared_server.mqtt, "pub", "1", "0", name, "one", "two")
        got = [member.messages() for member in members]
    assert sorted(message.payload for [message] in got) == [b"one", b"two"]


def test_node_may_be_sent_aliases_and_sends_them_itself(shared_server, mqtt_js, name):
    topics = [f"{name}/{number % 5}" for number in range(20)]
    takes = json.dumps({"properties": {"topicAliasMaximum": 3}})
    assigns = json.dumps({"autoAssignTopicAlias": True})
    with mqtt_js.started(
        shared_server.mqtt, "sub", f"{name}/#", "22", MQTT_OPTIONS=takes
    ) as subscriber:
        with PahoClient(shared_server) as publisher:
            for topic in topics:
                publisher.publish(topic)
        mqtt_js.run(
            shared_server.mqtt, "pub", "1", "0", f"{name}/x", "1", "2", MQTT_OPTIONS=assigns
        )
        assert [m.topic for m in subscriber.messages()] == [*topics, f"{name}/x", f"{name}/x"]


def test_node_is_told_what_it_may_not_publish(shared_server, mqtt_js):
    with pytest.raises(ClientError, match="135"):  # Not authorized
        mqtt_js.run(shared_server.mqtt, "pub", "1", "0", "$SYS/mine", "x")


@EACH_OF_NODE
def test_node_speaks_through_a_websocket(shared_server, mqtt_js, name, version):
    url = shared_server.mqtt_ws
    with PahoClient(shared_server) as subscriber:
        subscriber.subscribe(name)
        with mqtt_js.started(url, "sub", name, "2", MQTT_VERSION=version) as node:
            mqtt_js.run(url, "pub", "2", "0", name, "one", "two", MQTT_VERSION=version)
            assert [message.payload for message in node.messages()] == [b"one", b"two"]
        assert subscriber.payloads(2) == [b"one", b"two"]
