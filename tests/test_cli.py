"""The command line by itself: help, documentation, environment, configuration."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from command import hubbub
from hubbub.cli import exits, table
from hubbub.cli.env import variables
from hubbub.cli.main import cli

DOCS = Path(__file__).parent.parent / "docs" / "command-line.md"


def commands(group=cli, path=()):
    """Every command with its path, those of groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_the_documentation_has_every_command_and_option(path):
    text = DOCS.read_text()
    assert f"`{' '.join(path)}" in text
    # The section is that of the command, or of the group that it belongs to; `up` refers to `serve`.
    title = "serve" if path == ("up",) else path[0]
    section = text.split(f"\n## {title}")[1].split("\n## ")[0]
    options = [
        name
        for parameter in ALL[path].params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    ]
    assert [
        name for name in options if f"{name}`" not in section and f"{name} " not in section
    ] == []


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_help_says_what_for_and_shows_how(path):
    shown = CliRunner().invoke(cli, [*path, "--help"])
    assert shown.exit_code == 0
    assert ALL[path].help
    if not isinstance(ALL[path], click.Group) and ALL[path].params:
        assert "Examples:" in shown.output
        assert f"hubbub {path[0]}" in shown.output.split("Examples:")[1]
    for parameter in ALL[path].params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name


def test_the_documentation_has_every_exit_code():
    text = DOCS.read_text()
    errors = (exits.FailedError, exits.UnavailableError, exits.MisconfiguredError, click.UsageError)
    for code in (exits.OK, exits.INTERRUPTED, *(error.exit_code for error in errors)):
        assert f"| {code} |" in text
        assert f"{code} " in exits.EPILOG


def test_publishing_pays_for_no_server():
    """What makes `hubbub pub` start quickly is what it does not import."""
    script = "import sys, hubbub.cli.main, hubbub.cli.pub; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"asyncio", "rich", "kio", "uvloop", "hubbub.server.server", "platformdirs"} & {
        *loaded
    }


def test_env_prints_what_a_shell_can_evaluate(tmp_path):
    script = f'eval "$({sys.executable} -m hubbub env)"; echo $KAFKA_BROKERS $REDIS_URL $NATS_URL'
    from command import environment

    shown = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True, env=environment(tmp_path)
    )
    assert shown.stdout.split() == [
        "127.0.0.1:9092",
        "redis://127.0.0.1:6379",
        "nats://127.0.0.1:4222",
    ]


def test_env_speaks_other_dialects(tmp_path):
    assert (
        "set -gx REDIS_URL redis://127.0.0.1:6379;" in hubbub("env", "--fish", home=tmp_path).stdout
    )
    lines = hubbub("env", "--dotenv", home=tmp_path).stdout.splitlines()
    assert "KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092" in lines


def test_env_of_a_server_that_is_bound_everywhere_leads_to_loopback():
    assert variables({"redis": "0.0.0.0:6379", "bus": "[::]:8221"}) == {
        "REDIS_URL": "redis://127.0.0.1:6379",
        "HUBBUB_URL": "hubbub://[::1]:8221",
    }


def test_env_has_a_url_for_amqp_with_the_user_that_clients_know():
    assert variables({"amqp": "127.0.0.1:5672"}) == {
        "AMQP_URL": "amqp://guest:guest@127.0.0.1:5672/"
    }


def test_config_show_says_where_each_value_came_from(tmp_path):
    file = tmp_path / "hubbub.toml"
    file.write_text("broker.default_partitions = 3\n[listeners.kafka]\naddress = ':1'")
    shown = hubbub(
        "config", "show", "--config", str(file), "--json", home=tmp_path, HUBBUB_SERVER_MEMORY="1"
    )
    settings = {row["key"]: row for row in map(json.loads, shown.stdout.splitlines())}
    assert settings["broker.default_partitions"]["value"] == 3
    assert settings["broker.default_partitions"]["origin"] == str(file)
    assert settings["listeners.kafka.address"]["value"] == "127.0.0.1:1"
    assert settings["listeners.redis.address"] == {
        "key": "listeners.redis.address",
        "value": "127.0.0.1:6379",
        "origin": "default",
    }
    assert settings["server.memory"]["value"] is True
    assert settings["server.memory"]["origin"] == "HUBBUB_SERVER_MEMORY"
    assert settings["server.data"]["value"].endswith("hubbub")


def test_config_show_refuses_what_serve_would_refuse(tmp_path):
    shown = hubbub("config", "show", home=tmp_path, HUBBUB_SERVER_MEMROY="1")
    assert shown.returncode == 78
    assert "did you mean memory" in shown.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(tmp_path, shell):
    assert "_HUBBUB_COMPLETE" in hubbub("completion", shell, home=tmp_path).stdout


def test_completion_answers(tmp_path):
    asked = hubbub(
        home=tmp_path, _HUBBUB_COMPLETE="bash_complete", COMP_WORDS="hubbub su", COMP_CWORD="1"
    )
    assert asked.stdout.split() == ["plain,sub", "plain,subscriptions"]


@pytest.mark.parametrize(
    ("wish", "coloured"), [({"NO_COLOR": "1"}, False), ({"FORCE_COLOR": "1"}, True), ({}, False)]
)
def test_colour_is_as_the_environment_wishes(tmp_path, wish, coloured):
    complaint = hubbub("config", "show", home=tmp_path, HUBBUB_SERVER_X="1", **wish).stderr
    assert ("\x1b[" in complaint) is coloured


def test_a_table_aligns_words_left_and_numbers_right(capsys):
    table.show(
        [
            {"name": "a", "lag": 5, "members": []},
            {"name": "longer", "lag": 12345, "members": ["x", "y"]},
        ],
        as_json=False,
    )
    assert capsys.readouterr().out.splitlines() == [
        "NAME      LAG  MEMBERS",
        "a           5  -",
        "longer  12345  x, y",
    ]


def test_nothing_to_list_prints_nothing(capsys):
    table.show([], as_json=False)
    table.show([], as_json=True)
    assert capsys.readouterr().out == ""
