"""ApiVersions (18): which requests the broker takes, in which versions."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from hubbub.protocols.kafka.context import RequestContext
from hubbub.protocols.kafka.versions import API_VERSIONS, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubbub.protocols.kafka.context import Handler, Reply

_FALLBACK_VERSION = 0
_FIRST_WITH_SOFTWARE = 3

_ALPHANUMERIC = frozenset(string.ascii_letters + string.digits)
_INNER = _ALPHANUMERIC | set("-.")


def handle(context: RequestContext, request: Any, reply: Reply) -> None:
    """Answer with the ranges of all APIs that have a handler."""
    if request is None:
        # KIP-511: in the version that every client reads, with the range to choose from.
        oldest = RequestContext(context.connection, API_VERSIONS, _FALLBACK_VERSION, None)
        reply(_response(oldest, ErrorCode.unsupported_version, [API_VERSIONS]))
    elif context.api_version >= _FIRST_WITH_SOFTWARE and not (
        _is_software(request.client_software_name) and _is_software(request.client_software_version)
    ):
        reply(_response(context, ErrorCode.invalid_request, ()))
    else:
        reply(_response(context, ErrorCode.none, sorted(context.connection.served)))


def _is_software(text: str) -> bool:
    """KIP-511: letters, digits, dots and dashes, the outer two of them letters or digits."""
    return (
        bool(text)
        and text[0] in _ALPHANUMERIC
        and text[-1] in _ALPHANUMERIC
        and set(text) <= _INNER
    )


def _response(context: RequestContext, error: ErrorCode, keys: Iterable[int]) -> Any:
    ranges = []
    for key in keys:
        oldest, newest = VERSIONS[key].advertised
        ranges.append(
            context.make("ApiVersion", api_key=key, min_version=oldest, max_version=newest)
        )
    return context.make("ApiVersionsResponse", error_code=error, api_keys=tuple(ranges))


HANDLERS: dict[int, Handler] = {API_VERSIONS: handle}
