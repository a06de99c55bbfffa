"""Containing faults of our own: one caller's mistake must not end what is due to the others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")

logger = logging.getLogger(__name__)


def contain(call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call, and log what it raises instead of passing it on."""
    try:
        call(*args, **kwargs)
    except Exception:
        logger.exception("a call that never raises has raised")
