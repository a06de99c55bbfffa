"""What the disk itself takes: the floor under every acknowledgement after an fsync."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from hubbub.bench.histogram import Histogram

if TYPE_CHECKING:
    from pathlib import Path

# The flush of a small message: a batch's header and some hundred bytes.
_APPEND_BYTES = 256


def sync_times(directory: Path, seconds: float) -> dict[str, float]:
    """Percentiles of appending a little to a file and fdatasync, in microseconds. Raises OSError."""
    histogram = Histogram()
    sync = getattr(os, "fdatasync", os.fsync)  # macOS has only the second
    path = directory / "syncs"
    with path.open("wb", buffering=0) as file:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            began = time.perf_counter_ns()
            file.write(bytes(_APPEND_BYTES))
            sync(file.fileno())
            histogram.record(time.perf_counter_ns() - began)
    path.unlink()
    return {f"ack p{percent}": histogram.percentile(percent) / 1000 for percent in (50, 99)}
