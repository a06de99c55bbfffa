"""Errors as peers are told them: reply codes and texts in RabbitMQ's words."""

from __future__ import annotations

import re

from hubbub.model.errors import HubbubError
from hubbub.protocols.amqp.constants import HARD_ERRORS, ReplyCode

CONTENT_TOO_LARGE = ReplyCode.CONTENT_TOO_LARGE
NO_ROUTE = ReplyCode.NO_ROUTE
NO_CONSUMERS = ReplyCode.NO_CONSUMERS
CONNECTION_FORCED = ReplyCode.CONNECTION_FORCED
ACCESS_REFUSED = ReplyCode.ACCESS_REFUSED
NOT_FOUND = ReplyCode.NOT_FOUND
RESOURCE_LOCKED = ReplyCode.RESOURCE_LOCKED
PRECONDITION_FAILED = ReplyCode.PRECONDITION_FAILED
FRAME_ERROR = ReplyCode.FRAME_ERROR
SYNTAX_ERROR = ReplyCode.SYNTAX_ERROR
COMMAND_INVALID = ReplyCode.COMMAND_INVALID
CHANNEL_ERROR = ReplyCode.CHANNEL_ERROR
UNEXPECTED_FRAME = ReplyCode.UNEXPECTED_FRAME
RESOURCE_ERROR = ReplyCode.RESOURCE_ERROR
NOT_ALLOWED = ReplyCode.NOT_ALLOWED
NOT_IMPLEMENTED = ReplyCode.NOT_IMPLEMENTED
INTERNAL_ERROR = ReplyCode.INTERNAL_ERROR

_PUBLISH = (60, 40)  # class and method
# A reply text is a short string (section 4.2.5.3).
_MOST_BYTES = 255


class AmqpError(HubbubError):
    """Something is closed for this. ``class_id`` and ``method_id`` name the method that did it.

    ``text`` is what happened, ``reply_text`` how a peer hears it: the code's name in front, and cut
    to the length that a short string may have.
    """

    def __init__(self, code: int, text: str, class_id: int = 0, method_id: int = 0) -> None:
        super().__init__(text)
        self.code = ReplyCode(code)
        self.text = text
        self.class_id = class_id
        self.method_id = method_id

    @property
    def reply_text(self) -> str:
        """For connection.close and channel.close: at most 255 bytes of UTF-8."""
        name = self.code.name
        return _cut(f"{name} - {self.text}" if self.text else name)


class ChannelError(AmqpError):
    """A soft error: the channel is closed."""


class ConnectionFailure(AmqpError):  # noqa: N818 -- Python has a ConnectionError
    """A hard error: the connection is closed."""


class FrameFailure(ConnectionFailure):
    """501: a frame that is not right, after which nothing can be read any more."""

    def __init__(self, text: str, class_id: int = 0, method_id: int = 0) -> None:
        super().__init__(FRAME_ERROR, text, class_id, method_id)


class SyntaxFailure(ConnectionFailure):
    """502: a frame's fields have illegal values, or are not there."""

    def __init__(self, text: str, class_id: int = 0, method_id: int = 0) -> None:
        super().__init__(SYNTAX_ERROR, text, class_id, method_id)


def _cut(text: str) -> str:
    raw = text.encode("utf-8", "surrogateescape")
    if len(raw) <= _MOST_BYTES:
        return text
    # RabbitMQ ends what it cuts so.
    return raw[: _MOST_BYTES - 3].decode("utf-8", "ignore") + "..."


def amqp_error(code: int, text: str) -> AmqpError:
    """The error of a code: of the channel or of the connection, as the specification says."""
    hard = code in HARD_ERRORS
    return ConnectionFailure(code, text) if hard else ChannelError(code, text)


def access_refused(text: str) -> ChannelError:
    """403."""
    return ChannelError(ACCESS_REFUSED, text)


def not_found(text: str) -> ChannelError:
    """404."""
    return ChannelError(NOT_FOUND, text)


def resource_locked(text: str) -> ChannelError:
    """405."""
    return ChannelError(RESOURCE_LOCKED, text)


def precondition_failed(text: str) -> ChannelError:
    """406."""
    return ChannelError(PRECONDITION_FAILED, text)


def invalid_expiration(given: bytes) -> ChannelError:
    """406 for an `expiration` that is no number of milliseconds."""
    shown = given.decode("utf-8", "replace")
    number = re.match(rb"[+-]?[0-9]+", given)
    if number is None:
        why = "no_integer"
    elif number.end() < len(given):
        why = f'{{leftover_string,"{given[number.end() :].decode("utf-8", "replace")}"}}'
    else:
        why = f"{{value_{'negative' if given[:1] == b'-' else 'too_large'},{int(given)}}}"
    return precondition_failed(f"invalid expiration '{shown}': {why}")


def message_too_large(size: int, most: int) -> ChannelError:
    """406, as RabbitMQ says it of a message above its `max_message_size`; sizes are bytes."""
    text = f"message size {size} is larger than configured max size {most}"
    return ChannelError(PRECONDITION_FAILED, text)


def frame_error(text: str) -> FrameFailure:
    """501."""
    return FrameFailure(text)


def syntax_error(text: str) -> SyntaxFailure:
    """502."""
    return SyntaxFailure(text)


def command_invalid(text: str) -> ConnectionFailure:
    """503."""
    return ConnectionFailure(COMMAND_INVALID, text)


def channel_error(text: str) -> ConnectionFailure:
    """504: the name says channel, but it closes the connection."""
    return ConnectionFailure(CHANNEL_ERROR, text)


def unexpected_frame(text: str) -> ConnectionFailure:
    """505."""
    return ConnectionFailure(UNEXPECTED_FRAME, text)


def content_expected(part: str, got: str) -> ConnectionFailure:
    """505 for what comes between basic.publish and the end of its content (section 4.2.6)."""
    text = f"expected content {part}, got {got} instead"
    return ConnectionFailure(UNEXPECTED_FRAME, text, *_PUBLISH)


def not_allowed(text: str) -> ConnectionFailure:
    """530."""
    return ConnectionFailure(NOT_ALLOWED, text)


def not_implemented(text: str) -> ConnectionFailure:
    """540."""
    return ConnectionFailure(NOT_IMPLEMENTED, text)


def internal_error(text: str = "") -> ConnectionFailure:
    """541."""
    return ConnectionFailure(INTERNAL_ERROR, text)
