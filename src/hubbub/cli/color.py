"""What no-color.org and force-color.org ask for."""

from __future__ import annotations

import os


def wish() -> bool | None:
    """Whether to colour; None leaves it to whether there is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None
