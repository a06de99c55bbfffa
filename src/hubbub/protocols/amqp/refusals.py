"""What is refused, in RabbitMQ's words."""

from __future__ import annotations

from hubbub.protocols.amqp import errors


def exchange_in(vhost: str, name: str) -> str:
    """How texts name an exchange."""
    return f"exchange '{name}' in vhost '{vhost}'"


def queue_in(vhost: str, name: str) -> str:
    """How texts name a queue."""
    return f"queue '{name}' in vhost '{vhost}'"


def not_found(what: str) -> errors.ChannelError:
    """404."""
    return errors.ChannelError(errors.NOT_FOUND, f"no {what}")


def access_refused(text: str) -> errors.ChannelError:
    """403."""
    return errors.ChannelError(errors.ACCESS_REFUSED, text)


def precondition_failed(text: str) -> errors.ChannelError:
    """406."""
    return errors.ChannelError(errors.PRECONDITION_FAILED, text)


def resource_locked(queue: str) -> errors.ChannelError:
    """405."""
    return errors.ChannelError(
        errors.RESOURCE_LOCKED,
        f"cannot obtain exclusive access to locked {queue}. It could be originally "
        "declared on another connection or the exclusive property value does not "
        "match that of the original declaration.",
    )


def check_name(kind: str, name: str) -> None:
    """Nobody makes what begins with `amq.` (AMQP 0-9-1 sections 1.6.2.1 and 1.7.2.1)."""
    if name.startswith("amq."):
        raise access_refused(f"{kind} name '{name}' contains reserved prefix 'amq.*'")
