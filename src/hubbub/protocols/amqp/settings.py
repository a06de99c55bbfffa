"""What an operator may set of an AMQP listener, under RabbitMQ's own names where it has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hubbub.model.errors import InvalidSettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The least that a client may ask for (AMQP 0-9-1 section 1.4.2.6, frame-min-size), and the most: a
# frame is held until it is whole.
FRAME_MIN = 4096
FRAME_MOST = 16 * 1024 * 1024
CHANNELS_MOST = 65_535


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes in bytes, times in seconds; the defaults are RabbitMQ's."""

    default_user: str = "guest"
    default_pass: str = "guest"  # noqa: S105 - what every client has in its own defaults
    vhosts: tuple[str, ...] = ("/",)
    heartbeat: int = 60
    frame_max: int = 131_072
    channel_max: int = 2047
    max_message_size: int = 128 * 1024 * 1024  # as up to RabbitMQ 3.13, by which clients are tested
    handshake_timeout: float = 10.0


def parse_settings(chosen: Mapping[str, Any]) -> Settings:
    """The settings, from what a configuration file or the environment says.

    Raises:
        InvalidSettingsError: an unknown name, or a value that it cannot have.
    """
    chosen = dict(chosen)
    if isinstance(chosen.get("vhosts"), str):  # from the environment
        chosen["vhosts"] = [name.strip() for name in chosen["vhosts"].split(",") if name.strip()]
    try:
        settings = msgspec.convert(chosen, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidSettingsError(f"amqp: {error}") from error
    if not FRAME_MIN <= settings.frame_max <= FRAME_MOST:
        raise InvalidSettingsError(f"amqp: frame_max is from {FRAME_MIN} to {FRAME_MOST}")
    if not 1 <= settings.channel_max <= CHANNELS_MOST:
        raise InvalidSettingsError(f"amqp: channel_max is from 1 to {CHANNELS_MOST}")
    if not 0 <= settings.heartbeat <= CHANNELS_MOST:
        raise InvalidSettingsError(f"amqp: heartbeat is from 0 to {CHANNELS_MOST}")
    if settings.max_message_size < 1 or settings.handshake_timeout <= 0:
        raise InvalidSettingsError("amqp: a limit is more than 0")
    if not settings.vhosts:
        raise InvalidSettingsError("amqp: there is at least one vhost")
    return settings
