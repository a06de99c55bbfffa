"""docs/protocols/mqtt-conformance.md names every statement, and the tests that there are."""

from __future__ import annotations

from collections import Counter

import pytest

from mqtt_statements import PAGE, SPECIFICATIONS, by_statement, cell, rows, written

ROWS = rows(PAGE.read_text())
BINDING = {"server", "both"}

# How many statements each section of appendix B has.
COUNTS = {
    "MQTT 3.1.1": {
        "1.5.3": 3, "2.2.2": 2, "2.3.1": 7, "3.1.0": 2, "3.1.2": 24, "3.1.3": 11, "3.1.4": 5,
        "3.2.0": 1, "3.2.2": 6, "3.3.1": 12, "3.3.2": 3, "3.3.4": 1, "3.3.5": 2, "3.6.1": 1,
        "3.8.1": 1, "3.8.3": 4, "3.8.4": 6, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6,
        "3.12.4": 1, "3.14.1": 1, "3.14.4": 3, "4.1.0": 2, "4.3.1": 1, "4.3.2": 2, "4.3.3": 2,
        "4.4.0": 1, "4.5.0": 2, "4.6.0": 6, "4.7.1": 3, "4.7.2": 1, "4.7.3": 4, "4.8.0": 2,
        "6.0.0": 4, "7.0.0": 2, "7.1.1": 1, "7.1.2": 1,
    },
    "MQTT 5.0": {
        "1.5.4": 3, "1.5.5": 1, "1.5.7": 1, "2.1.3": 1, "2.2.1": 5, "2.2.2": 1, "3.1.0": 2,
        "3.1.2": 30, "3.1.3": 12, "3.1.4": 6, "3.2.0": 2, "3.2.2": 22, "3.3.1": 13, "3.3.2": 20,
        "3.3.4": 10, "3.4.2": 3, "3.5.2": 3, "3.6.1": 1, "3.6.2": 3, "3.7.2": 3, "3.8.1": 1,
        "3.8.3": 5, "3.8.4": 8, "3.9.2": 2, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6,
        "3.11.2": 2, "3.11.3": 2, "3.12.4": 1, "3.14.0": 1, "3.14.1": 1, "3.14.2": 4, "3.14.4": 3,
        "3.15.1": 1, "3.15.2": 3, "4.1.0": 2, "4.2.0": 1, "4.3.1": 1, "4.3.2": 5, "4.3.3": 13,
        "4.4.0": 2, "4.5.0": 2, "4.6.0": 6, "4.7.0": 1, "4.7.1": 2, "4.7.2": 1, "4.7.3": 4,
        "4.8.2": 6, "4.9.0": 3, "4.12.0": 7, "4.12.1": 2, "4.13.1": 1, "4.13.2": 1, "6.0.0": 4,
    },
}  # fmt: skip


@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_every_statement_has_a_row(specification):
    first = 2 if specification == "MQTT 5.0" else 1  # 5.0 has no 2.2.1-1
    expected = [
        f"MQTT-{section}-{number + (first - 1 if section == '2.2.1' else 0)}"
        for section, count in COUNTS[specification].items()
        for number in range(1, count + 1)
    ]
    assert [row.statement for row in ROWS if row.specification == specification] == expected


def test_no_test_covers_what_is_no_statement():
    listed = {(row.specification, row.statement) for row in ROWS}
    assert set(by_statement()) - listed == set()


def test_every_statement_that_binds_a_server_has_a_test():
    known = by_statement()
    assert [
        row for row in ROWS if row.binds in BINDING and (row.specification, row.statement) not in known
    ] == []  # fmt: skip


def test_the_page_names_the_tests_that_there_are():
    """``python tests/mqtt_statements.py`` makes it so."""
    known = by_statement()
    wrong = [
        row
        for row in ROWS
        if row.binds in BINDING
        and row.tests != cell(known.get((row.specification, row.statement), []))
    ]
    assert wrong == []
    assert written(PAGE.read_text()) == PAGE.read_text()


def test_what_binds_no_server_says_why():
    assert Counter(row.binds for row in ROWS).keys() == {"server", "client", "both", "not"}
    assert [row for row in ROWS if row.binds == "client" and row.tests != "client"] == []
    assert [row for row in ROWS if row.binds == "not" and "::" in row.tests] == []
