"""`pub`, `sub`, `topics` and `subscriptions` against a running server."""

from __future__ import annotations

import json
import signal
import uuid

import pytest

import hubbub as api
from command import SECONDS, hubbub, start

pytestmark = pytest.mark.server


@pytest.fixture
def run(shared_server, tmp_path):
    """Runs a command against the server; what it printed, provided that it exits as expected."""

    def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
        ended = hubbub(*arguments, home=tmp_path, stdin=stdin, HUBBUB_URL=shared_server.url)
        assert ended.returncode == code, ended.stderr
        return ended.stderr if code else ended.stdout

    return run


@pytest.fixture
def topic(shared_server):
    name = f"cli.{uuid.uuid4().hex}"
    with api.Broker.connect(shared_server.url) as broker:
        broker.create_topic(name)
    return name


def read(run, topic, count, *more):
    return run(
        "sub", topic, "--from-beginning", "-n", str(count), "-f", r"%v\n", *more
    ).splitlines()


def test_what_is_published_can_be_read_back(run, topic):
    run("pub", topic, "one")
    run("pub", topic, stdin="two\nlines")
    assert read(run, topic, 2) == ["one", "two", "lines"]


def test_each_line_is_a_message(run, topic):
    run("pub", topic, "--lines", stdin="a\nb\r\n\nlast")
    assert read(run, topic, 4) == ["a", "b", "", "last"]


def test_many_lines_arrive_in_order(run, topic):
    lines = [str(number) for number in range(3000)]
    run("pub", topic, "--lines", "--key", "one", stdin="\n".join(lines))
    assert read(run, topic, 3000) == lines


def test_a_message_can_be_published_many_times(run, topic):
    run("pub", topic, "again", "--count", "5")
    assert read(run, topic, 5) == ["again"] * 5


def test_bytes_that_are_no_text_pass_whole(shared_server, topic, tmp_path):
    import subprocess

    from command import COMMAND, environment

    published = subprocess.run(
        [*COMMAND, "pub", topic, b"\xff\x00"[:1]],
        env=environment(tmp_path, HUBBUB_URL=shared_server.url),
        timeout=SECONDS,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert published.returncode == 0
    shown = hubbub(
        "sub",
        topic,
        "--from-beginning",
        "-n",
        "1",
        "--json",
        home=tmp_path,
        HUBBUB_URL=shared_server.url,
    )
    assert json.loads(shown.stdout)["value_base64"] == "/w=="


def test_key_headers_and_place_are_shown_as_json(run, topic):
    run("pub", topic, '{"id": 1}', "-k", "ada", "-H", "source=web", "-H", "source=again", "--json")
    (line,) = run("sub", topic, "--from-beginning", "-n", "1", "--json").splitlines()
    shown = json.loads(line)
    assert shown.pop("timestamp_ms") > 1_600_000_000_000
    assert shown == {
        "address": topic,
        "topic": topic,
        "partition": 0,
        "offset": 0,
        "key": "ada",
        "value": '{"id": 1}',
        "headers": [["source", "web"], ["source", "again"]],
    }


def test_a_format_spells_it_as_one_likes(run, topic):
    run("pub", topic, "v", "--key", "k", "--header", "h=1")
    shown = run("sub", topic, "--from-beginning", "-n1", "-f", r"%t|%k|%v|%s|%h|%p|%o|%S|%%\n")
    assert shown == f"{topic}|k|v|v|h=1|0|0|1|%\n"


def test_live_messages_come_without_any_topic(shared_server, tmp_path):
    address = f"live.{uuid.uuid4().hex}"
    url = {"HUBBUB_URL": shared_server.url}
    with (
        start("sub", f"{address}.*", "-n", "2", home=tmp_path, **url) as listening,
        api.Broker.connect(shared_server.url) as broker,
    ):
        while not broker.publish(f"{address}.a", "is anybody there").observers:
            pass
        broker.publish(f"{address}.b", b"2")
        assert listening.wait(SECONDS) == 0
        assert listening.stdout.read() == f"{address}.a is anybody there\n{address}.b 2\n"


def test_ctrl_c_ends_it_quietly(shared_server, tmp_path, topic):
    with (
        start("sub", topic, home=tmp_path, HUBBUB_URL=shared_server.url) as listening,
        api.Broker.connect(shared_server.url) as broker,
    ):
        while not broker.publish(topic, "x").observers:
            pass
        listening.stdout.readline()
        listening.send_signal(signal.SIGINT)
        assert listening.wait(SECONDS) == 130
        assert listening.stderr.read().strip() == ""


def test_a_closed_pipe_ends_it_quietly(shared_server, tmp_path, topic):
    with api.Broker.connect(shared_server.url) as broker:
        for _ in range(1000):
            broker.publish_soon(topic, b"x" * 1000)
    with start(
        "sub", topic, "--from-beginning", home=tmp_path, HUBBUB_URL=shared_server.url
    ) as listening:
        listening.stdout.read(10)
        listening.stdout.close()
        assert listening.wait(SECONDS) == 1
        assert listening.stderr.read() == ""


def test_waiting_ends_when_nothing_comes_and_fails_when_more_was_wanted(run, topic):
    run("pub", topic, "only")
    assert run("sub", topic, "--from-beginning", "--wait", "0.3").endswith("only\n")
    complaint = run("sub", topic, "--from-beginning", "--wait", "0.3", "-n", "2", code=1)
    assert "1 of 2 messages" in complaint


def test_since_leaves_out_what_is_older(run, topic):
    run("pub", topic, "old")
    assert read(run, topic, 1, "--wait", "5") == ["old"]
    shown = run("sub", topic, "--since", "1h", "-n", "1", "-f", "%v")
    assert shown == "old"
    assert run("sub", topic, "--since", "0s", "--wait", "0.3") == ""
    assert "duration" in run("sub", topic, "--since", "yesterday", code=1)


def test_a_group_keeps_its_place_and_its_lag_is_shown(run, topic):
    run("pub", topic, "--lines", stdin="1\n2\n3")
    assert read(run, topic, 2, "--group", "billing") == ["1", "2"]
    (line,) = run("subscriptions", "--topic", topic, "--json").splitlines()
    assert json.loads(line) == {
        "name": "billing",
        "topic": topic,
        "kind": "shared",
        "members": [],
        "lag": 1,
    }
    assert run("sub", topic, "--group", "billing", "-n", "1", "-f", "%v") == "3"
    table = run("subscriptions", "--topic", topic).splitlines()
    assert table[0].split() == ["NAME", "TOPIC", "KIND", "MEMBERS", "LAG"]
    assert table[1].split() == ["billing", topic, "shared", "-", "0"]


def test_topics_are_created_listed_described_and_deleted(run):
    name = f"cli.{uuid.uuid4().hex}"
    run(
        "topics",
        "create",
        name,
        "--partitions",
        "3",
        "--capture",
        f"{name}.>",
        "--set",
        "retention_ms=-1",
    )
    run("topics", "create", name, "--if-not-exists")
    assert "exists" in run("topics", "create", name, code=1)
    run("pub", f"{name}.below", "x")
    rows = [json.loads(line) for line in run("topics", "--json").splitlines()]
    (row,) = [row for row in rows if row["topic"] == name]
    assert row["partitions"] == 3
    assert row["messages"] == 1
    assert row["captures"] == [f"{name}.>"]
    assert name in run("topics")
    described = json.loads(run("topics", "describe", name, "--json"))
    assert described["settings"]["retention_ms"] == -1
    assert len(described["partitions"]) == 3
    assert "retention_ms = -1" in run("topics", "describe", name)
    assert run("topics", "delete", name, stdin="n\n", code=130)
    run("topics", "delete", name, "--yes")
    assert "no topic" in run("topics", "describe", name, code=1)
    assert "no topic" in run("topics", "delete", name, "--yes", code=1)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("pub", "a", "v", "--lines"), 2),
        (("pub", "a", "v", "--header", "nothing"), 2),
        (("pub", "a", "no json", "--json"), 2),
        (("sub", "a", "-f", "%x"), 2),
        (("sub", "a", "-f", "%"), 2),
        (("sub", "a", "--from-beginning", "--since", "1h"), 2),
        (("topics", "create", "a", "--set", "retention_ms=long"), 2),
        (("topics", "create", "a", "--set", "retention=1"), 2),
        (("sub", "a.>.b", "-n", "1"), 1),
        (("pub", "a\tb", "v"), 1),
        (("nonsense",), 2),
    ],
)
def test_mistakes_are_told_without_a_traceback(run, arguments, code):
    complaint = run(*arguments, code=code)
    assert complaint
    assert "Traceback" not in complaint


def test_without_a_server_the_exit_code_says_so(tmp_path):
    for arguments in (("pub", "a", "b"), ("sub", "a"), ("topics",), ("subscriptions",)):
        ended = hubbub(*arguments, "--url", "hubbub://127.0.0.1:1", home=tmp_path)
        assert ended.returncode == 69, arguments
        assert "127.0.0.1:1" in ended.stderr
        assert "Traceback" not in ended.stderr
