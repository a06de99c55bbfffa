"""How many files a process may have open."""

from __future__ import annotations

import resource


def raise_descriptor_limit() -> None:
    """As many as the system lets this process have, and those that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
