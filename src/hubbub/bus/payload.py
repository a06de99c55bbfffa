"""Payloads: what a program publishes, and the bytes and content type that travel for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = "application/json"
TEXT = "text/plain"


def encode(payload: Any) -> tuple[bytes | None, str | None]:
    """The bytes of ``payload`` and their content type; None stays None, which is a tombstone.

    Bytes travel as they are and text as UTF-8. All else becomes JSON: dictionaries, lists, numbers,
    dataclasses, msgspec structs, dates, enumerations, and pydantic models by their own method.

    Raises:
        TypeError: an object that has no form in JSON.
    """
    if payload is None:
        return None, None
    if isinstance(payload, bytes):
        return payload, None
    if isinstance(payload, bytearray | memoryview):
        return bytes(payload), None
    if isinstance(payload, str):
        return payload.encode(), TEXT
    dump: Callable[[], str] | None = getattr(payload, "model_dump_json", None)
    if dump is not None:
        return dump().encode(), JSON
    return msgspec.json.encode(payload), JSON


def decode(value: bytes | None, content_type: str | None) -> Any:
    """What ``value`` means by its content type: JSON's objects, text, or the bytes themselves.

    Raises:
        ValueError: not what the content type says.
    """
    if value is None or content_type is None:
        return value
    kind = content_type.partition(";")[0].strip().lower()
    if kind == JSON:
        return msgspec.json.decode(value)
    return value.decode() if kind.startswith("text/") else value


def decode_as(value: bytes, kind: Any) -> Any:
    """The JSON in ``value`` as an object of type ``kind``.

    Raises:
        ValueError: no JSON, or not of that shape.
    """
    validate: Callable[[bytes], Any] | None = getattr(kind, "model_validate_json", None)
    if validate is not None:
        return validate(value)
    return msgspec.json.decode(value, type=kind)
