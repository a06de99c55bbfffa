"""docs/protocols/kafka.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from kio.schema.index import api_key_map

from hubbub.protocols.kafka.listener import HANDLERS
from hubbub.protocols.kafka.topic_configs import DEFAULTS, TOPIC_CONFIGS, Setting
from hubbub.protocols.kafka.versions import VERSIONS

PAGE = (Path(__file__).parent.parent / "docs" / "protocols" / "kafka.md").read_text()


def rows(first_cell: str) -> list[list[str]]:
    """The table rows whose first cell matches."""
    lines = (line for line in PAGE.splitlines() if line.startswith("|"))
    cells = ([cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in lines)
    return [row for row in cells if re.fullmatch(first_cell, row[0])]


def test_the_apis_and_versions_on_the_page_are_those_served():
    documented = {int(row[0]): (row[1].lower(), row[2]) for row in rows(r"\d+")}
    assert documented == {
        key: (api_key_map[key].replace("_", ""), "{}-{}".format(*VERSIONS[key].advertised))
        for key in HANDLERS
    }


def test_the_topic_configs_on_the_page_are_those_of_the_table():
    documented = {row[0]: tuple(row[1:4]) for row in rows(r"[a-z]+[a-z.]+")}
    assert documented == {
        config.name: (
            config.type.name,
            config.read(DEFAULTS),
            "set" if isinstance(config, Setting) else "fixed",
        )
        for config in TOPIC_CONFIGS.values()
    }
