"""The page about the AMQP listener says what the code says, and names tests that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hubbub.broker.work_memory import MemoryMarks
from hubbub.broker.work_queues import WorkQueues
from hubbub.model.address import MAX_LEVELS
from hubbub.protocols.amqp.arguments import MAX_ARGUMENTS_BYTES
from hubbub.protocols.amqp.connection import VERSION
from hubbub.protocols.amqp.consuming import MAX_CONSUMERS
from hubbub.protocols.amqp.dead_letters import MAX_DEATHS
from hubbub.protocols.amqp.delayed import MAX_DELAY_MS
from hubbub.protocols.amqp.mapping import KEY_HEADER
from hubbub.protocols.amqp.queue_arguments import QUORUM_DELIVERY_LIMIT
from hubbub.protocols.amqp.queues import MAX_QUEUES
from hubbub.protocols.amqp.settings import Settings
from hubbub.protocols.amqp.tables import MAX_DEPTH
from hubbub.protocols.amqp.topic_match import MAX_ANY_WORDS
from hubbub.protocols.amqp.vhost import MAX_BINDINGS, MAX_EXCHANGES

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "protocols" / "amqp.md").read_text()
SETTINGS = PAGE.split("## Settings")[1].split("##")[0]
FEATURES = PAGE.split("## Feature by feature")[1].split("##")[0]
MIB = 1024 * 1024


def test_the_page_lists_every_setting_with_its_default():
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", SETTINGS, re.MULTILINE)
    listed = {
        name: default
        for names, defaults in rows
        for name, default in zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=True)
    }
    assert {name: shown.strip("`") for name, shown in listed.items()} == {
        name: f"{value:g}" if isinstance(value, float) else str(_as_written(value))
        for name, value in ((n, getattr(Settings(), n)) for n in Settings.__struct_fields__)
    }


def _as_written(value):
    return json.dumps(value) if isinstance(value, tuple) else value


def test_the_page_names_the_limits():
    marks = MemoryMarks()
    for words in (
        f"RabbitMQ {VERSION}", f"more than {MAX_LEVELS} levels", f"tables {MAX_DEPTH} levels",
        f"{MAX_EXCHANGES:,} exchanges, {MAX_QUEUES:,} queues and {MAX_BINDINGS:,} bindings",
        f"\n{MAX_ARGUMENTS_BYTES:,} bytes", f"at most {MAX_ANY_WORDS} `#`", f"{MAX_DELAY_MS:,}",
        f"after {MAX_DEATHS} different", f"delivery limit of {QUORUM_DELIVERY_LIMIT}",
        f"from {marks.page // MIB} MiB", f"above {marks.high // MIB // 1024} GiB",
        f"below {marks.low // MIB} MiB", f"more than {WorkQueues.rewrite_bytes // MIB} MiB",
        KEY_HEADER, f"channel {MAX_CONSUMERS:,} consumers",
    ):  # fmt: skip
        assert words in PAGE, words


def test_the_page_names_tests_that_there_are():
    named = re.findall(r"`(\w+)::(test_\w+)`", FEATURES.split("|---|", 1)[1])
    assert len(named) > 50
    sources = {part: (TESTS / f"test_amqp_{part}.py").read_text() for part, _ in named}
    assert [name for part, name in named if f"def {name}(" not in sources[part]] == []


def test_every_feature_has_a_test():
    rows = [row for row in FEATURES.splitlines() if row.startswith("| ")][1:]
    assert [row for row in rows if "::test_" not in row.split(" | ")[1]] == []
