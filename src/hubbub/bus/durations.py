"""Spans and points of time as programs like to write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from time import time_ns
from typing import Literal, TypeAlias

from hubbub.broker.tail import FromOffset, FromTime, Start
from hubbub.model.errors import InvalidSettingsError

Duration: TypeAlias = timedelta | str | float
StartPoint: TypeAlias = Literal["beginning", "new"] | datetime | Duration

_MILLISECONDS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 7 * 86_400_000,
}
_WRITTEN = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(ms|[smhdw])")


def milliseconds(duration: Duration) -> int:
    """The length of a timedelta, of a text such as ``"1h"`` or ``"500ms"``, or of seconds.

    Raises:
        InvalidSettingsError: another text.
    """
    if isinstance(duration, timedelta):
        return round(duration.total_seconds() * 1000)
    if not isinstance(duration, str):
        return round(duration * 1000)
    written = _WRITTEN.fullmatch(duration)
    if written is None:
        raise InvalidSettingsError(f'{duration!r} is no duration such as "90s", "15m" or "7d"')
    return round(float(written[1]) * _MILLISECONDS[written[2]])


def start_of(point: StartPoint | int) -> Start:
    """Where a replay begins: a word, a moment, so long ago, or (an int) an offset.

    Raises:
        InvalidSettingsError: a text that is none of these.
    """
    if point in {"beginning", "new"}:
        return point  # type: ignore[return-value]  # one of the two words
    if isinstance(point, int):
        return FromOffset(point)
    if isinstance(point, datetime):
        return FromTime(round(point.timestamp() * 1000))
    return FromTime(time_ns() // 1_000_000 - milliseconds(point))
