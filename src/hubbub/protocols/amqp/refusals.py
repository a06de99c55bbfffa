"""What several places refuse, in RabbitMQ's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.protocols.amqp import errors

if TYPE_CHECKING:
    from hubbub.protocols.amqp.errors import ChannelError


def exchange_in(vhost: str, name: str) -> str:
    """How texts name an exchange."""
    return f"exchange '{name}' in vhost '{vhost}'"


def queue_in(vhost: str, name: str) -> str:
    """How texts name a queue."""
    return f"queue '{name}' in vhost '{vhost}'"


def no_such(what: str) -> ChannelError:
    """There is no such exchange or queue (404)."""
    return errors.not_found(f"no {what}")


def locked(queue: str) -> ChannelError:
    """The queue is another connection's (405)."""
    return errors.resource_locked(
        f"cannot obtain exclusive access to locked {queue}. It could be originally "
        "declared on another connection or the exclusive property value does not "
        "match that of the original declaration."
    )


def check_name(kind: str, name: str) -> None:
    """Refuse to make what begins with `amq.` (AMQP 0-9-1 sections 1.6.2.1 and 1.7.2.1)."""
    if name.startswith("amq."):
        raise errors.access_refused(f"{kind} name '{name}' contains reserved prefix 'amq.*'")
