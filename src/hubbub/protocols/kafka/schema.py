"""Kafka's message schemas by API key and version.

The schemas are kio's, and are imported when a key and version is first used: all of them together
would cost start-up time and memory that no one client needs.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import kio.index

if TYPE_CHECKING:
    from types import ModuleType

# No client is throttled, so every answer says so.
_UNTHROTTLED = timedelta(0)


@functools.cache
def request_type(api_key: int, version: int) -> type:
    """The entity of a request."""
    return kio.index.load_request_schema(api_key, version)


@functools.cache
def response_type(api_key: int, version: int) -> type:
    """The entity of a response."""
    return kio.index.load_response_schema(api_key, version)


def module_of(entity: type) -> ModuleType:
    """The module of an entity, which holds the entities nested in it too."""
    return sys.modules[entity.__module__]


def make(module: ModuleType, name: str, /, **values: Any) -> Any:
    """The entity ``name`` of one version's schema, without the values that the version lacks."""
    entity = getattr(module, name)
    names = _field_names(entity)
    known = {field: value for field, value in values.items() if field in names}
    if "throttle_time" in names:
        known.setdefault("throttle_time", _UNTHROTTLED)
    return entity(**known)


@functools.cache
def _field_names(entity: type) -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(entity))
