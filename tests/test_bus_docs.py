"""The Python API's page: its programs run, and it says everything there is to say."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import hubbub
from hubbub.bus.slots import Slots

PAGE = (Path(__file__).parent.parent / "docs" / "python-api.md").read_text()


def test_the_programs_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for program in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(program, names)
    assert capsys.readouterr().out == "orders.new {'id': 1}\nmail {'type': 'order_placed'}\n"


def test_every_method_argument_and_slot_is_explained():
    words = set(re.findall(r"\w+", PAGE))
    methods = [name for name in vars(hubbub.Broker) if not name.startswith("_")]
    arguments = set(inspect.signature(hubbub.Broker.subscribe).parameters) - {"self"}
    attributes = [name for name in vars(hubbub.Message) if not name.startswith("_")]
    wanted = {*methods, *arguments, *Slots.__annotations__, *attributes} - {
        "timestamp_ms",
        "expiry_ms",
    }
    assert wanted - words == set()


def test_every_public_name_is_mentioned():
    unexplained = {
        "MemoryStore",
        "Published",
        "Pending",
        "Subscription",
        "TopicSettings",
        "event_id",
    }
    assert [n for n in hubbub.__all__ if n not in PAGE and n not in unexplained] == []
