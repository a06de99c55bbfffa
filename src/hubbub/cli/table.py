"""Listings: aligned columns for people, one JSON object a line for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = "  "


def show(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print the rows, which have the same keys in the same order; nothing where there are none."""
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
    elif rows:
        lines = [[name.upper().replace("_", " ") for name in rows[0]]]
        lines += [[_text(value) for value in row.values()] for row in rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        numeric = [isinstance(value, int) for value in rows[0].values()]
        for number, line in enumerate(lines):
            cells = [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, numeric, strict=True)
            ]
            click.secho(_GAP.join(cells).rstrip(), bold=number == 0)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
