"""The x-arguments of queue.declare: what they mean, and how RabbitMQ refuses those that are wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from hubbub.broker.work_settings import WorkQueueSettings
from hubbub.protocols.amqp.arguments import INTEGER_TYPES, assert_equivalent, text_of
from hubbub.protocols.amqp.errors import precondition_failed
from hubbub.protocols.amqp.tables import Field

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.protocols.amqp.tables import Table

QueueType = Literal["classic", "quorum", "stream"]

QUEUE_TYPE = "x-queue-type"
DEAD_LETTER_EXCHANGE = "x-dead-letter-exchange"
DEAD_LETTER_ROUTING_KEY = "x-dead-letter-routing-key"
NAME_PREFIX = "x-name-prefix"

# What RabbitMQ 4 lets a quorum queue try before it gives up on a message.
QUORUM_DELIVERY_LIMIT = 20

# RabbitMQ's: ten years in milliseconds, one byte, 3 GB.
_MAX_EXPIRY_MS = 315_360_000_000
_MAX_PRIORITY = 255
_MAX_SEGMENT_BYTES = 3_000_000_000
_FILTER_BYTES = range(16, 256)
_MAX_NAME_PREFIX = 64

_AGE = re.compile(rb"([0-9]{1,18})([YMDhms])", re.ASCII)
_AGE_SECONDS = {
    b"Y": 365 * 86400,
    b"M": 30 * 86400,
    b"D": 86400,
    b"h": 3600,
    b"m": 60,
    b"s": 1,
}

_EVERY = {QUEUE_TYPE, "x-max-length-bytes", "x-queue-leader-locator"}
_LEASED = _EVERY | {
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_ROUTING_KEY,
    "x-expires",
    "x-max-length",
    "x-message-ttl",
    "x-overflow",
    "x-single-active-consumer",
}
# What a queue of each type takes; what only another type takes is refused, what none knows is kept.
_TAKEN: dict[QueueType, set[str]] = {
    "classic": _LEASED
    | {"x-max-priority", "x-queue-master-locator", "x-queue-mode", "x-queue-version"},
    "quorum": _LEASED
    | {
        "x-dead-letter-strategy",
        "x-delivery-limit",
        "x-max-in-memory-bytes",
        "x-max-in-memory-length",
        "x-quorum-initial-group-size",
    },
    "stream": _EVERY
    | {
        "x-initial-cluster-size",
        "x-max-age",
        "x-stream-filter-size-bytes",
        "x-stream-max-segment-size-bytes",
    },
}
_KNOWN = set().union(*_TAKEN.values())
_CLASSIC = Field("S", b"classic")
# Every type takes it, but compares it with nothing.
_UNCOMPARED = {"x-consumer-timeout"}


class QueueArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What the arguments say. None: not said.

    ``settings``: for the work queue, as if it were not durable. ``refused_to_dlx``: what does not fit
    is a dead letter, too (`reject-publish-dlx`). The last four are a stream's; ``max_bytes`` is how much of
    it is kept.
    """

    type: QueueType
    settings: WorkQueueSettings
    expires_ms: int | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: bytes | None = None
    refused_to_dlx: bool = False
    max_age_ms: int | None = None
    max_bytes: int | None = None
    segment_bytes: int | None = None


def queue_type(arguments: Table, queue: str) -> QueueType:
    """The `x-queue-type`, classic if there is none. Raises ChannelError (406)."""
    _check(arguments, queue, QUEUE_TYPE, _check_type)
    found = arguments.get(QUEUE_TYPE)
    return "classic" if found is None else text_of(found)  # type: ignore[return-value]


def name_prefix(arguments: Table) -> str:
    """What a name made by the server begins with (`x-name-prefix`). Raises ChannelError (406)."""
    found = arguments.get(NAME_PREFIX)
    if found is None or found.type_name != "longstr" or not found.value:
        return "amq.gen"
    prefix = text_of(found)
    if len(found.value) > _MAX_NAME_PREFIX:
        raise precondition_failed(f"Queue name prefix '{prefix}' exceeds the 64-byte limit")
    return prefix.replace("\r", "").replace("\n", "")


def parse(
    arguments: Table, queue: str, *, durable: bool, exclusive: bool, auto_delete: bool
) -> QueueArguments:
    """What the arguments of a new queue mean. Raises ChannelError (406) as RabbitMQ does.

    ``queue`` is how texts name it.
    """
    exchange = arguments.get(DEAD_LETTER_EXCHANGE)
    if exchange is not None and exchange.type_name != "longstr":
        raise precondition_failed(
            f"invalid type '{exchange.type_name}' for arg 'x-dead-letter-exchange' in {queue}"
        )
    kind = queue_type(arguments, queue)
    for name, check in _CHECKS.items():
        if name in _TAKEN[kind] or name in _UNCOMPARED:
            _check(arguments, queue, name, check)
    for name in arguments:
        if name in _KNOWN and name not in _TAKEN[kind]:
            raise precondition_failed(
                f"invalid arg '{name}' for {queue} of queue type rabbit_{kind}_queue"
            )
    if kind != "classic":
        _check_properties(queue, durable, exclusive, auto_delete)
    if kind == "stream":
        return _stream(arguments)
    return _leased(arguments, kind)


def check_equivalent(queue: str, kind: QueueType, current: Table, received: Table) -> None:
    """Refuse to declare a queue again with other arguments. Raises ChannelError (406)."""
    for name in sorted(_TAKEN[kind]):
        default = _CLASSIC if name == QUEUE_TYPE else None
        was, is_now = current.get(name, default), received.get(name, default)
        assert_equivalent(queue, name, was, is_now)


def _check_properties(queue: str, durable: bool, exclusive: bool, auto_delete: bool) -> None:
    for wrong, name in (
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
        (not durable, "non-durable"),
    ):
        if wrong:
            raise precondition_failed(f"invalid property '{name}' for {queue}")


def _leased(arguments: Table, kind: QueueType) -> QueueArguments:
    overflow = _text(arguments, "x-overflow")
    if kind == "quorum" and overflow == "reject-publish-dlx":
        overflow = None  # RabbitMQ warns of it in its log
    limit = _number(arguments, "x-delivery-limit")
    if kind == "quorum":
        limit = QUORUM_DELIVERY_LIMIT if limit is None else limit
        limit = None if limit < 0 else limit
    key = arguments.get(DEAD_LETTER_ROUTING_KEY)
    active = arguments.get("x-single-active-consumer")
    return QueueArguments(
        type=kind,
        settings=WorkQueueSettings(
            message_ttl_ms=_number(arguments, "x-message-ttl"),
            max_length=_number(arguments, "x-max-length"),
            max_bytes=_number(arguments, "x-max-length-bytes"),
            overflow="drop-head" if overflow in (None, "drop-head") else "reject",
            priorities=_number(arguments, "x-max-priority") or 0,
            delivery_limit=limit,
            single_active=active is not None and bool(active.value),
        ),
        expires_ms=_number(arguments, "x-expires"),
        dead_letter_exchange=_text(arguments, DEAD_LETTER_EXCHANGE),
        dead_letter_routing_key=None if key is None else key.value,
        refused_to_dlx=overflow == "reject-publish-dlx",
    )


def _stream(arguments: Table) -> QueueArguments:
    segment_bytes = _number(arguments, "x-stream-max-segment-size-bytes")
    if segment_bytes is not None and segment_bytes > _MAX_SEGMENT_BYTES:
        raise precondition_failed("Exceeded max value for x-stream-max-segment-size-bytes")
    filter_bytes = arguments.get("x-stream-filter-size-bytes")
    if filter_bytes is not None and filter_bytes.value not in _FILTER_BYTES:
        raise precondition_failed("Invalid value for x-stream-filter-size-bytes")
    age = arguments.get("x-max-age")
    return QueueArguments(
        type="stream",
        settings=WorkQueueSettings(),
        max_age_ms=None if age is None else _age_ms(age.value),
        max_bytes=_number(arguments, "x-max-length-bytes"),
        segment_bytes=segment_bytes,
    )


def _number(arguments: Table, name: str) -> int | None:
    found = arguments.get(name)
    return None if found is None else found.value


def _text(arguments: Table, name: str) -> str | None:
    found = arguments.get(name)
    return None if found is None else text_of(found)


# --- what RabbitMQ says of a value: an Erlang term, None if nothing is wrong --------------------


def _check(
    arguments: Table,
    queue: str,
    name: str,
    check: Callable[[Field, Table], str | None],
) -> None:
    field = arguments.get(name)
    wrong = None if field is None else check(field, arguments)
    if wrong is not None:
        raise precondition_failed(f"invalid arg '{name}' for {queue}: {wrong}")


def _check_integer(field: Field, _: Table) -> str | None:
    if field.type_name not in INTEGER_TYPES:
        return f'"expected integer, got {field.type_name}"'
    return None


def _check_natural(field: Field, arguments: Table) -> str | None:
    wrong = _check_integer(field, arguments)
    if wrong is None and field.value < 0:
        return f"{{value_negative,{field.value}}}"
    return wrong


def _check_positive(field: Field, arguments: Table) -> str | None:
    wrong = _check_natural(field, arguments)
    if wrong is None and field.value == 0:
        return "{value_zero,0}"
    return wrong


def _check_ttl(field: Field, arguments: Table) -> str | None:
    wrong = _check_natural(field, arguments)
    if wrong is None and field.value > _MAX_EXPIRY_MS:
        return f"{{value_too_large,{field.value}}}"
    return wrong


def _check_expires(field: Field, arguments: Table) -> str | None:
    return _check_ttl(field, arguments) or _check_positive(field, arguments)


def _check_max_priority(field: Field, arguments: Table) -> str | None:
    wrong = _check_natural(field, arguments)
    if wrong is None and field.value > _MAX_PRIORITY:
        return f"{{max_value_exceeded,{field.value}}}"
    return wrong


def _check_version(field: Field, arguments: Table) -> str | None:
    wrong = _check_natural(field, arguments)
    if wrong is None and field.value not in (1, 2):
        return f"\"unsupported queue version '{field.value}'\""
    return wrong


def _check_boolean(field: Field, _: Table) -> str | None:
    return None if field.type_name == "bool" else _unacceptable(field)


def _check_string(field: Field, _: Table) -> str | None:
    return None if field.type_name == "longstr" else _unacceptable(field)


def _check_routing_key(field: Field, arguments: Table) -> str | None:
    wrong = _check_string(field, arguments)
    if wrong is None and arguments.get(DEAD_LETTER_EXCHANGE) is None:
        return "routing_key_but_no_dlx_defined"
    return wrong


def _one_of(wrong: str, *names: bytes) -> Callable[[Field, Table], str | None]:
    def check(field: Field, _: Table) -> str | None:
        if field.type_name != "longstr":
            return _unacceptable(field)
        return None if field.value in names else wrong

    return check


def _check_age(field: Field, _: Table) -> str | None:
    if field.type_name != "longstr":
        return _unacceptable(field)
    return "invalid_max_age" if _age_ms(field.value) is None else None


def _check_type(field: Field, _: Table) -> str | None:
    if field.type_name != "longstr":
        return _unacceptable(field)
    name = text_of(field)
    return None if name in _TAKEN else f"\"unsupported queue type '{name}'\""


def _unacceptable(field: Field) -> str:
    return f"{{unacceptable_type,{field.type_name}}}"


def _age_ms(text: bytes) -> int | None:
    found = _AGE.fullmatch(text)
    if found is None or not int(found[1]):
        return None
    return int(found[1]) * _AGE_SECONDS[found[2]] * 1000


_CHECKS: dict[str, Callable[[Field, Table], str | None]] = {
    "x-expires": _check_expires,
    "x-message-ttl": _check_ttl,
    DEAD_LETTER_EXCHANGE: _check_string,
    DEAD_LETTER_ROUTING_KEY: _check_routing_key,
    "x-dead-letter-strategy": _one_of("invalid_dlx_strategy", b"at-most-once", b"at-least-once"),
    "x-max-length": _check_natural,
    "x-max-length-bytes": _check_natural,
    "x-max-in-memory-length": _check_natural,
    "x-max-in-memory-bytes": _check_natural,
    "x-max-priority": _check_max_priority,
    "x-overflow": _one_of(
        "invalid_overflow", b"drop-head", b"reject-publish", b"reject-publish-dlx"
    ),
    "x-queue-version": _check_version,
    "x-queue-mode": _one_of("invalid_queue_mode", b"default", b"lazy"),
    "x-single-active-consumer": _check_boolean,
    "x-consumer-timeout": _check_natural,
    "x-delivery-limit": _check_integer,
    "x-quorum-initial-group-size": _check_positive,
    "x-initial-cluster-size": _check_positive,
    "x-max-age": _check_age,
    "x-stream-max-segment-size-bytes": _check_natural,
    "x-stream-filter-size-bytes": _check_natural,
    "x-queue-leader-locator": _one_of(
        "invalid_queue_locator_arg",
        b"client-local",
        b"balanced",
        b"random",
        b"least-leaders",
        b"min-masters",
    ),
}
