"""The x-arguments of queues: what they mean and how RabbitMQ refuses them."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.protocols.amqp.errors import ChannelError
from hubbub.protocols.amqp.queue_arguments import QueueArguments, parse
from hubbub.protocols.amqp.tables import Field, table_of

QUEUE = "queue 'q' in vhost '/'"


def parsed(arguments: dict[str, Any], **flags: bool) -> QueueArguments:
    flags = {"durable": True, "exclusive": False, "auto_delete": False} | flags
    return parse(table_of(arguments), QUEUE, **flags)


def refused(arguments: dict[str, Any], **flags: bool) -> str:
    with pytest.raises(ChannelError) as caught:
        parsed(arguments, **flags)
    assert caught.value.code == 406
    return str(caught.value.text)


def test_a_queue_without_arguments_is_a_classic_one_without_limits() -> None:
    found = parsed({})
    assert found == QueueArguments(type="classic", settings=found.settings)
    assert found.settings.max_length is None
    assert found.settings.delivery_limit is None
    assert found.settings.overflow == "drop-head"


def test_each_argument_has_its_meaning() -> None:
    found = parsed(
        {
            "x-message-ttl": 1,
            "x-expires": 2,
            "x-max-length": 3,
            "x-max-length-bytes": 4,
            "x-max-priority": 5,
            "x-overflow": "reject-publish",
            "x-single-active-consumer": True,
            "x-dead-letter-exchange": "dlx",
            "x-dead-letter-routing-key": "key",
        }
    )
    settings = found.settings
    assert (settings.message_ttl_ms, found.expires_ms) == (1, 2)
    assert (settings.max_length, settings.max_bytes, settings.priorities) == (3, 4, 5)
    assert settings.overflow == "reject"
    assert settings.single_active
    assert (found.dead_letter_exchange, found.dead_letter_routing_key) == ("dlx", b"key")
    assert not found.refused_to_dlx


def test_overflow_may_make_dead_letters_of_what_is_refused() -> None:
    found = parsed({"x-overflow": "reject-publish-dlx"})
    assert found.settings.overflow == "reject"
    assert found.refused_to_dlx
    found = parsed({"x-overflow": "reject-publish-dlx", "x-queue-type": "quorum"})
    assert found.settings.overflow == "drop-head"
    assert not found.refused_to_dlx


@pytest.mark.parametrize(("limit", "expected"), [(None, 20), (3, 3), (-1, None)])
def test_a_quorum_queue_gives_up_after_a_while(limit: int | None, expected: int | None) -> None:
    arguments = {} if limit is None else {"x-delivery-limit": limit}
    assert parsed({"x-queue-type": "quorum"} | arguments).settings.delivery_limit == expected


def test_a_stream_keeps_what_it_is_told_to() -> None:
    found = parsed(
        {
            "x-queue-type": "stream",
            "x-max-age": "7D",
            "x-max-length-bytes": 1000,
            "x-stream-max-segment-size-bytes": 500,
            "x-stream-filter-size-bytes": 16,
        }
    )
    assert found.max_age_ms == 7 * 86_400_000
    assert (found.max_bytes, found.segment_bytes) == (1000, 500)


def test_what_frameworks_send_along_is_accepted() -> None:
    parsed({"x-queue-mode": "lazy", "x-queue-version": 1, "x-queue-master-locator": "min-masters"})
    parsed({"x-queue-version": 2, "x-queue-leader-locator": "balanced", "x-consumer-timeout": 5})
    parsed({"x-queue-type": "quorum", "x-quorum-initial-group-size": 3, "x-whatever": []})
    parsed({"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once"})
    parsed({"x-queue-type": "stream", "x-initial-cluster-size": 3})


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("x-message-ttl", "1", '"expected integer, got longstr"'),
        ("x-message-ttl", 1.5, '"expected integer, got double"'),
        ("x-message-ttl", -1, "{value_negative,-1}"),
        ("x-message-ttl", 315_360_000_001, "{value_too_large,315360000001}"),
        ("x-expires", 0, "{value_zero,0}"),
        ("x-expires", -5, "{value_negative,-5}"),
        ("x-max-length", -5, "{value_negative,-5}"),
        ("x-max-length-bytes", True, '"expected integer, got bool"'),
        ("x-max-priority", 256, "{max_value_exceeded,256}"),
        ("x-overflow", "burst", "invalid_overflow"),
        ("x-overflow", 1, "{unacceptable_type,long}"),
        ("x-single-active-consumer", "true", "{unacceptable_type,longstr}"),
        ("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined"),
        ("x-dead-letter-routing-key", 1, "{unacceptable_type,long}"),
        ("x-queue-version", 3, "\"unsupported queue version '3'\""),
        ("x-queue-leader-locator", "here", "invalid_queue_locator_arg"),
        ("x-queue-type", "fast", "\"unsupported queue type 'fast'\""),
        ("x-queue-type", 1, "{unacceptable_type,long}"),
    ],
)
def test_a_wrong_value_is_refused_in_rabbitmqs_words(name: str, value: object, text: str) -> None:
    assert refused({name: value}) == f"invalid arg '{name}' for {QUEUE}: {text}"


@pytest.mark.parametrize("age", ["", "5", "D", "0D", "5W", "-5D", "5 D", "5DD", "9" * 30 + "D", 5])
def test_an_age_that_is_none_is_refused(age: object) -> None:
    assert refused({"x-queue-type": "stream", "x-max-age": age}).startswith(
        f"invalid arg 'x-max-age' for {QUEUE}: "
    )


def test_the_name_of_the_dead_letter_exchange_is_a_string() -> None:
    assert refused({"x-dead-letter-exchange": 1}) == (
        f"invalid type 'long' for arg 'x-dead-letter-exchange' in {QUEUE}"
    )


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("quorum", "x-max-priority", 5),
        ("quorum", "x-queue-mode", "lazy"),
        ("classic", "x-delivery-limit", 5),
        ("classic", "x-max-age", "5D"),
        ("stream", "x-message-ttl", 5),
        ("stream", "x-dead-letter-exchange", "dlx"),
    ],
)
def test_what_another_type_takes_is_refused(kind: str, name: str, value: object) -> None:
    assert refused({"x-queue-type": kind, name: value}) == (
        f"invalid arg '{name}' for {QUEUE} of queue type rabbit_{kind}_queue"
    )


@pytest.mark.parametrize("kind", ["quorum", "stream"])
@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"durable": False}, "non-durable"),
        ({"exclusive": True}, "exclusive-owner"),
        ({"auto_delete": True}, "auto-delete"),
    ],
)
def test_replicated_queues_are_durable_and_everybodys(
    kind: str, flags: dict[str, bool], name: str
) -> None:
    assert refused({"x-queue-type": kind}, **flags) == f"invalid property '{name}' for {QUEUE}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-stream-max-segment-size-bytes", 3_000_000_001),
        ("x-stream-filter-size-bytes", 15),
        ("x-stream-filter-size-bytes", 256),
    ],
)
def test_the_sizes_of_a_stream_have_limits(name: str, value: int) -> None:
    assert name in refused({"x-queue-type": "stream", name: value})


def test_numbers_of_every_width_are_numbers() -> None:
    for letter in "bBsuIilL":
        assert parsed({"x-max-length": Field(letter, 7)}).settings.max_length == 7
