"""The page about the Redis listener says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from hubbub.protocols.redis.commands import COMMANDS
from hubbub.protocols.redis.parameters import Parameters

PAGE = (Path(__file__).parent.parent / "docs" / "protocols" / "redis.md").read_text()


def test_the_page_lists_every_command_and_subcommand():
    table = PAGE.split("## Commands")[1].split("##")[0]
    listed = {
        command: set(re.findall(r"`([A-Z-]+)`", subcommands))
        for command, subcommands in re.findall(r"^\| `([A-Z]+)` \|(.*)\|$", table, re.MULTILINE)
    }
    assert listed == {
        command.name.upper(): {each.own_name.upper() for each in command.subcommands.values()}
        for command in COMMANDS
    }


def test_the_page_names_every_parameter_that_can_be_changed():
    section = PAGE.split("## Parameters")[1].split("##")[0]
    changeable = {name for name, each in Parameters({})._parameters.items() if each.parse}
    assert changeable <= set(re.findall(r"`([a-z-]+)`", section))
