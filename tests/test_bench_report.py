from __future__ import annotations

import json
import sys
from contextlib import contextmanager

import pytest

from command import hubbub
from hubbub.bench import results
from hubbub.bench.peers import PEERS, Peer, UnavailableError, running
from hubbub.bench.report import number, render
from hubbub.bench.results import Results, RowResult
from hubbub.bench.rows import FIGURES, ROWS
from hubbub.bench.runner import DISK, Runner

NAME = "redis-1-1-128"


def measured(**contenders):
    figures = {name: {"delivered": values} for name, values in contenders.items()}
    return RowResult(day="2026-01-02", seconds=1.0, figures=figures)


def test_every_row_has_contenders_figures_and_goals_that_there_are():
    for row in ROWS.values():
        assert set(row.contenders) <= {*PEERS, DISK}
        assert set(row.figures) <= set(FIGURES)
        for goal in row.goals:
            assert goal.figure in row.figures
            assert goal.by in row.contenders
            assert goal.over in {"", *row.contenders}
        if row.measure in {"load", "table"}:
            assert row.shape.protocol == row.protocol
        for name in set(row.contenders) - {DISK}:
            assert row.protocol in PEERS[name].protocols


def test_the_quick_set_covers_every_protocol_of_the_load_generator():
    loads = {row.protocol for row in ROWS.values() if row.measure == "load"}
    quick = {row.protocol for row in ROWS.values() if row.quick}
    assert quick == loads == {"redis", "nats", "mqtt", "amqp"}


def test_a_goal_is_judged_by_the_median_of_the_ratios_of_each_round():
    goal = ROWS[NAME].goals[0]
    assert (goal.bound, goal.over) == (6, "redis")
    verdict = results.judge(goal, measured(hubbub=[60, 70, 10], redis=[10, 10, 10]))
    assert verdict.met
    assert (verdict.spread.median, verdict.spread.least, verdict.spread.most) == (6, 1, 7)
    assert not results.judge(goal, measured(hubbub=[59.0], redis=[10.0])).met


def test_where_less_is_better_more_does_not_meet_the_goal():
    row = ROWS["redis-rest"]
    start = next(goal for goal in row.goals if goal.figure == "start")
    for value, met in ((start.bound, True), (start.bound + 0.1, False)):
        figures = {"hubbub": {"start": [value]}}
        result = RowResult(day="2026-01-02", seconds=1.0, figures=figures)
        assert results.judge(start, result).met == met


def test_the_report_says_what_was_won_and_what_was_lost():
    won, lost = "redis-1-1-16", "redis-1-10-16"
    text = render(
        Results(
            machine={"cores": "2"},
            versions={"redis-server": "7.0.15"},
            rows={
                won: measured(hubbub=[9e6, 8e6, 1e7], redis=[1e6, 1e6, 1e6]),
                lost: measured(hubbub=[1e6], redis=[2e6]),
            },
        )
    )
    assert "**1 of 2 goals are met.**" in text
    assert f"- `{lost}`: at least 4.00x redis-server: 0.50x, NOT met" in text
    assert "9.00M (8.00M-10.0M)" in text
    assert "at least 4.00x redis-server: 9.00x (8.00-10.0), met" in text
    assert "cores: 2" in text
    assert "redis-server: 7.0.15" in text


def test_the_report_says_why_something_was_not_measured():
    result = measured(redis=[1e6])
    result.missing["hubbub"] = "3 messages lost, 0 delivered twice"
    text = render(Results(rows={NAME: result}))
    assert f"`{NAME}`: hubbub was not measured: 3 messages lost" in text
    assert "at least 6.00x redis-server: not measured" in text


def test_results_are_read_back_and_other_rows_stay(tmp_path):
    path = tmp_path / "bench.json"
    assert results.load(path) == Results()
    kept = Results(rows={"a": measured(hubbub=[1.0]), "b": measured(hubbub=[2.0])})
    results.save(kept, path)
    again = results.load(path)
    again.rows["b"] = measured(hubbub=[3.0])
    results.save(again, path)
    assert results.load(path).rows["a"].figures["hubbub"]["delivered"] == [1.0]
    assert results.load(path).rows["b"].figures["hubbub"]["delivered"] == [3.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123, "0.12"), (12.34, "12.3"), (999.4, "999"), (999.9, "1.00k"), (1.5e6, "1.50M")],
)
def test_figures_have_three_digits(value, text):
    assert number(value) == text


def test_a_broker_that_does_not_start_says_what_it_said(tmp_path):
    broken = Peer(
        name="broken",
        title="broken",
        protocols=("redis",),
        command=lambda *_: [sys.executable, "-c", "raise SystemExit('no disk')"],
        find=lambda: "1",
    )
    with (
        pytest.raises(UnavailableError, match="broken did not start: no disk"),
        running(broken, "redis", tmp_path / "broken"),
    ):
        pass


def test_what_runs_beside_a_broker_gives_it_an_environment_and_ends_with_it(tmp_path):
    steps = []

    @contextmanager
    def beside(directory):
        steps.append(directory)
        try:
            yield {"BESIDE": "this"}
        finally:
            steps.append("ended")

    leaving = "import os; raise SystemExit(os.environ['BESIDE'])"
    broken = Peer(
        name="broken",
        title="broken",
        protocols=("redis",),
        command=lambda *_: [sys.executable, "-c", leaving],
        find=lambda: "1",
        beside=beside,
    )
    with (
        pytest.raises(UnavailableError, match="broken did not start: this"),
        running(broken, "redis", tmp_path / "broken"),
    ):
        pass
    assert steps == [tmp_path / "broken", "ended"]


@pytest.mark.server
def test_a_row_is_measured_round_by_round_and_what_is_not_there_is_named(tmp_path, monkeypatch):
    def absent():
        raise UnavailableError("redis-server is not installed")

    monkeypatch.setitem(
        PEERS,
        "redis",
        Peer(name="redis", title="r", protocols=("redis",), command=list, find=absent),
    )
    told = []
    result = Runner(tmp_path, rounds=2, seconds=0.1, tell=told.append).run(ROWS[NAME])
    assert len(result.figures["hubbub"]["delivered"]) == 2
    assert len(result.figures["relay"]["delivered"]) == 2
    assert result.missing == {"redis": "redis-server is not installed"}
    # In turn: no contender has its rounds in a row.
    assert [line.split()[1] for line in told] == ["hubbub,", "relay,"] * 2


@pytest.mark.server
def test_the_disk_is_measured_where_the_data_is(tmp_path):
    result = Runner(tmp_path, rounds=1, seconds=0.1, tell=lambda _: None).run(
        ROWS["redis-stored-latency-1000"]
    )
    assert result.figures["disk"]["ack p50"][0] > 0
    assert result.figures["hubbub-disk"]["ack p50"][0] > 0


def test_the_command_lists_its_rows(tmp_path):
    listed = hubbub("bench", "--list", home=tmp_path)
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(ROWS)


def test_the_command_knows_no_other_rows(tmp_path):
    refused = hubbub("bench", "redis-1-1-129", home=tmp_path)
    assert refused.returncode == 2
    assert "there is no row 'redis-1-1-129'" in refused.stderr


@pytest.mark.server
def test_the_command_measures_a_broker_that_runs_already(tmp_path):
    with running(PEERS["hubbub"], "redis", tmp_path / "hubbub") as started:
        url = f"redis://127.0.0.1:{started.ports['redis']}"
        quick = ("--protocol", "redis", "--seconds", "0.1", "--subscribers", "2")
        told = hubbub("bench", *quick, "--url", url, home=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "delivered/s" in told.stdout


@pytest.mark.server
def test_the_command_writes_a_document_and_keeps_results(tmp_path):
    document, kept = tmp_path / "report.md", tmp_path / "bench.json"
    files = ("--report", str(document), "--json", str(kept))
    done = hubbub("bench", "redis-rest", "--rounds", "1", *files, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "`redis-rest`" in document.read_text()
    assert list(json.loads(kept.read_text())["rows"]) == ["redis-rest"]
