"""Which tests hold a server to which normative statement of the MQTT specifications.

Run as a program it writes the names of the tests into docs/protocols/mqtt-conformance.md.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "protocols" / "mqtt-conformance.md"
SPECIFICATIONS = ("MQTT 3.1.1", "MQTT 5.0")
_ROW = re.compile(r"\| (MQTT-\S+) \| (.+?) \| (\w+) \| (.*?) \|")


def covers(v3="", v5=""):
    """Say which statements a test sees broken: of 3.1.1 and of 5, as ``3.1.2-1 3.1.2-2``."""

    def mark(test):
        said = (v3.split(), v5.split())
        test.statements = {
            (specification, f"MQTT-{number}")
            for specification, numbers in zip(SPECIFICATIONS, said, strict=True)
            for number in numbers
        }
        return test

    return mark


def by_statement():
    """(specification, id) -> the tests that cover it, as the page names them."""
    found = {}
    for path in sorted(TESTS.glob("test_mqtt_*.py")):
        module = importlib.import_module(path.stem)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            for statement in getattr(function, "statements", ()):
                found.setdefault(statement, []).append(f"{path.name}::{name}")
    return found


class Row(NamedTuple):
    """One statement on the page."""

    specification: str
    statement: str
    demand: str
    binds: str
    tests: str


def rows(page):
    """Every row of both tables."""
    found = []
    specification = ""
    for line in page.splitlines():
        if line.startswith("## "):
            specification = line.removeprefix("## ")
        elif match := _ROW.fullmatch(line):
            found.append(Row(specification, *match.groups()))
    return found


def cell(tests):
    return ", ".join(f"`{test}`" for test in tests)


def written(page):
    """The page with the names of the tests that there are."""
    known = by_statement()
    lines = []
    specification = ""
    for line in page.splitlines():
        if line.startswith("## "):
            specification = line.removeprefix("## ")
        match = _ROW.fullmatch(line)
        tests = known.get((specification, match[1])) if match else None
        lines.append(f"| {match[1]} | {match[2]} | {match[3]} | {cell(tests)} |" if tests else line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    PAGE.write_text(written(PAGE.read_text()))
