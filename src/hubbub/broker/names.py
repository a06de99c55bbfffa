"""The names that the broker keeps for its own state."""

from __future__ import annotations

from hubbub.model.address import Address

STATE = Address("__hubbub_state")
QUEUED = Address("__hubbub_queued")
CONSUMER_OFFSETS = Address("__consumer_offsets")
RETAINED = Address("__hubbub_retained")
TRANSACTION_STATE = Address("__transaction_state")

# Before a number: the log of a durable work queue.
WORK_QUEUE_PREFIX = "__hubbub_queue."

_RESERVED_PREFIX = "__hubbub"


def is_reserved(address: Address) -> bool:
    """Whether clients may neither publish to the address nor make a topic of that name."""
    return address.startswith(_RESERVED_PREFIX) or address in {CONSUMER_OFFSETS, TRANSACTION_STATE}
