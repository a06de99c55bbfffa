"""What the queues of sessions and shared subscriptions are called in listings."""

from __future__ import annotations

import hashlib

from hubbub.broker.subscriptions import MAX_NAME_BYTES

SESSION_PREFIX = "mqtt:"
SHARE_PREFIX = "mqtt-share:"

# Before the digest of a name that was cut; no other name has it.
_CUT = "#"


def queue_name(prefix: str, whose: str) -> str:
    """The name; one that is too long, or reads as if it were cut, is cut and told apart by a digest."""
    name = prefix + whose
    if len(name.encode()) <= MAX_NAME_BYTES and _CUT not in name:
        return name
    digest = _CUT + hashlib.sha256(name.encode()).hexdigest()
    return name.encode()[: MAX_NAME_BYTES - len(digest)].decode(errors="ignore") + digest
