"""The page about the MQTT listener says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from hubbub.broker.outbox import OUTBOX_LIMIT_BYTES
from hubbub.model.address import MAX_LEVELS, to_opaque
from hubbub.protocols.kafka.mapping import to_kafka
from hubbub.protocols.mqtt import codec, flow, mapping, packets, wills
from hubbub.protocols.mqtt.fields import MAX_STRING_BYTES
from hubbub.protocols.mqtt.names import address_of, pattern_of, spelled
from hubbub.protocols.mqtt.session import KEEP_ALIVE_FACTOR
from hubbub.protocols.mqtt.settings import LARGEST_PACKET, Settings
from hubbub.protocols.nats.mapping import spelled as spelled_in_nats
from hubbub.server.listeners import LISTENERS
from mqtt_double import here_only, mqtt_listener

pytestmark = here_only

PAGE = (Path(__file__).parent.parent / "docs" / "protocols" / "mqtt.md").read_text()
TEXT = " ".join(PAGE.split())  # wherever its lines end
MIB = 1024 * 1024


def section(title):
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_page_lists_every_setting_with_its_default():
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", section("Settings"), re.MULTILINE)
    listed = {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    defaults = Settings()
    assert listed == {
        name: f"{value:g}" if isinstance(value, float) else str(value) or "none"
        for name, value in ((n, getattr(defaults, n)) for n in Settings.__struct_fields__)
    }


def test_every_setting_of_the_page_may_be_configured():
    assert LISTENERS["mqtt"].settings == Settings.__struct_fields__


def test_the_page_names_the_limits():
    for said in (
        f"at most {MAX_LEVELS} levels",
        f"{MAX_STRING_BYTES:,} bytes. CONNECT",
        f"at most {codec.MAX_FILTERS:,} filters",
        f"at most {packets.MAX_ALIASES:,} aliases",
        f"up to {packets.MAX_ALIAS_BYTES} bytes",
        f"the limit is {LARGEST_PACKET // MIB} MiB",
        f"Of a kept session, {flow.QUEUE_WINDOW:,} at most",
        f"also {flow.MAX_WAITING_BYTES // MIB} MiB at most, in memory",
        f"more than {OUTBOX_LIMIT_BYTES // MIB} MiB unread",
        f"At {flow.UNREAD_BYTES // MIB} MiB",
        f"Delayed wills have {wills.MAX_DELAYED_BYTES // MIB} MiB",
    ):
        assert said in TEXT, said
    assert KEEP_ALIVE_FACTOR == 1.5
    assert "one and a half times its Keep Alive" in TEXT


def test_the_page_names_the_ports():
    assert f"over TCP on port {LISTENERS['mqtt'].default_port} " in TEXT
    assert f"over WebSocket on port {LISTENERS['mqtt-ws'].default_port}" in TEXT
    assert " or ".join(f"`{name}`" for name in LISTENERS["mqtt-ws"].subprotocols) in TEXT


def test_the_page_lists_the_topics_of_the_server():
    listener = mqtt_listener(sys_interval=10)
    topics = [
        spelled(retained.message.address).decode()
        for retained in listener.sys_topics.matching(pattern_of(b"$SYS/#"))
    ]
    listed = re.findall(r"`([a-z][a-z/ ]+)`", section("`$SYS`").split("The names are")[0])
    assert [f"$SYS/broker/{name}" for name in listed] == topics


def test_the_page_names_the_headers():
    crossing = section("What crosses")
    for header in (
        mapping.KEY_HEADER,
        mapping.MESSAGE_ID_HEADER,
        mapping.FORMAT_HEADER,
        mapping.RETAIN_HEADER,
    ):
        assert f"`{header}`" in crossing


def test_names_are_as_the_page_shows_them():
    rows = re.findall(
        r"^\| `(.+)` \| `(.+)` \| `(.+)` \| `(.+)` \|$", section("Names"), re.MULTILINE
    )
    assert rows
    for topic, address, subject, kafka in rows:
        found = address_of(topic.encode())
        assert (found, to_opaque(found).decode()) == (address, address)
        assert spelled(found).decode() == topic
        assert spelled_in_nats(found).decode() == subject
        assert to_kafka(found) == kafka
