"""What an operator may set of an MQTT listener, under mosquitto's own names where it has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hubbub.model.errors import InvalidSettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

# What one packet may have of the broker's memory while it arrives, where no limit is set: a message
# of this size reaches everybody through an outbox, and is more than devices send.
LARGEST_PACKET = 16 * 1024 * 1024

NO_LIMIT = 0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes in bytes, times in seconds; the defaults are mosquitto's but where it says why."""

    user: str = ""
    password: str = ""
    # What a client of version 5 is asked not to exceed. Who does is served all the same: paho-mqtt
    # sends all that it has at once when it comes back, and there are 65,535 Packet Identifiers.
    receive_maximum: int = 20
    topic_alias_maximum: int = 10
    # What a client is sent before it acknowledges: as many as there are Packet Identifiers, which
    # is what they cost here. mosquitto's 20 make a fast subscriber wait, and then lose.
    max_inflight_messages: int = 65_535
    # What waits for a client that has so many unacknowledged, or is away. mosquitto's 1,000 are
    # minutes of a sensor; on disk there is room for days, and in memory their bytes are bounded.
    max_queued_messages: int = 100_000
    # Announced to version 5's clients if set; else LARGEST_PACKET is the limit.
    max_packet_size: int = NO_LIMIT
    # Without a limit one client could fill the memory.
    max_subscriptions: int = 100_000
    max_sessions: int = 100_000
    max_retained_messages: int = 1_000_000
    # mosquitto waits for CONNECT for ever.
    connect_timeout: float = 10.0
    # How long a session of a client before version 5 is kept, which cannot say so; 0: for good.
    persistent_client_expiration: float = 0.0
    sys_interval: float = 10.0  # between two states of $SYS; 0: no $SYS

    @property
    def requires_auth(self) -> bool:
        """Whether a client has to say who it is."""
        return bool(self.user)

    @property
    def packet_limit(self) -> int:
        """The largest packet that is taken."""
        return self.max_packet_size or LARGEST_PACKET


_AT_LEAST_ONE = (
    "receive_maximum",
    "max_inflight_messages",
    "max_queued_messages",
    "max_subscriptions",
    "max_sessions",
    "max_retained_messages",
)


def parse_settings(chosen: Mapping[str, Any]) -> Settings:
    """The settings, from what a configuration file or the environment says.

    Raises:
        InvalidSettingsError: an unknown name, or a value that it cannot have.
    """
    try:
        settings = msgspec.convert(dict(chosen), Settings, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidSettingsError(f"mqtt: {error}") from error
    for name in _AT_LEAST_ONE:
        if getattr(settings, name) < 1:
            raise InvalidSettingsError(f"mqtt: {name} is at least 1")
    for name in ("receive_maximum", "topic_alias_maximum", "max_inflight_messages"):
        if not 0 <= getattr(settings, name) <= 65_535:
            raise InvalidSettingsError(f"mqtt: {name} is at most 65535")
    if settings.max_packet_size < 0 or settings.connect_timeout <= 0:
        raise InvalidSettingsError("mqtt: a limit is more than 0")
    return settings
