"""A little of what ``make fuzz`` does for as long as one likes, always the same."""

from __future__ import annotations

import pytest

import fuzz


@pytest.mark.parametrize("codec", fuzz.TARGETS)
@pytest.mark.parametrize("seed", range(3))
def test_mutated_streams_neither_break_a_session_nor_depend_on_their_cuts(codec, seed):
    assert fuzz.fuzz(codec, seed, count=300) == 300
