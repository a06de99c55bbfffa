"""One answer from many that come when they come."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

K = TypeVar("K")
T = TypeVar("T")


def gather(
    keys: Iterable[K],
    ask: Callable[[K, Callable[[T], None]], None],
    done: Callable[[Mapping[K, T]], None],
) -> None:
    """Call ``ask`` for each key, and ``done`` with all answers when the last one is there."""
    open_keys = dict.fromkeys(keys)
    answers: dict[K, T] = {}

    def take(key: K, answer: T) -> None:
        answers[key] = answer
        if len(answers) == len(open_keys):
            done(answers)

    if not open_keys:
        done(answers)
    for key in open_keys:
        ask(key, partial(take, key))
