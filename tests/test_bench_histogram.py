from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.bench.histogram import Histogram

DURATIONS = st.lists(st.integers(0, 2**34 - 1), min_size=1)


@given(DURATIONS, st.sampled_from([0, 50, 90, 99, 99.9, 100]))
def test_a_percentile_is_that_of_the_sorted_values_to_within_a_cell(durations, percent):
    histogram = Histogram()
    for duration in durations:
        histogram.record(duration)
    rank = max(1, -(-len(durations) * percent // 100))
    exact = sorted(durations)[int(rank) - 1]
    assert exact <= histogram.percentile(percent) <= exact * (1 + 1 / 128)


@given(DURATIONS)
def test_count_and_maximum_are_exact(durations):
    histogram = Histogram()
    for duration in durations:
        histogram.record(duration)
    assert (histogram.count, histogram.max) == (len(durations), max(durations))


def test_what_is_out_of_range_counts_as_the_end_of_the_range():
    histogram = Histogram()
    histogram.record(-5)
    assert histogram.percentile(100) == 0
    histogram.record(2**60)
    assert histogram.percentile(100) == 2**34 - 1
    assert histogram.max == 2**60


def test_nothing_has_no_percentiles():
    with pytest.raises(ValueError, match="nothing was recorded"):
        Histogram().percentile(50)
