"""Why one entry of an administrative request was refused, while the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from kio.schema.errors import ErrorCode

from hubbub.model.errors import HubbubError
from hubbub.protocols.kafka.mapping import error_code

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

# A message may quote what a client sent, and a string of the older versions has 32767 bytes at most.
MAX_MESSAGE_CHARACTERS = 1000


class Refusal(Exception):  # noqa: N818 - an answer to a client, not a fault of the broker
    """An error code of Kafka's and the text for whoever reads it."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message[:MAX_MESSAGE_CHARACTERS])
        self.code = code

    @property
    def message(self) -> str:
        """The text."""
        return str(self)


def refusal_of(error: Exception) -> Refusal:
    """What a client is told about a failure of the broker's."""
    code = error_code(error)
    if code is ErrorCode.unknown_server_error:  # whatever it says was not meant for clients
        return Refusal(code, "The server could not process the request.")
    return Refusal(code, str(error))


def attempt(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Refusal:
    """What the call returns, or the refusal that it ended with."""
    try:
        return call(*args, **kwargs)
    except Refusal as refusal:
        return refusal
    except HubbubError as error:
        return refusal_of(error)


def outcome(refusal: Refusal | None) -> dict[str, object]:
    """The two fields of nearly every result that say how it went."""
    if refusal is None:
        return {"error_code": ErrorCode.none, "error_message": None}
    return {"error_code": refusal.code, "error_message": refusal.message}
