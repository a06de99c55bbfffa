"""What an operator may set of a NATS listener, under nats-server's own names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hubbub.broker.outbox import OUTBOX_LIMIT_BYTES
from hubbub.model.errors import InvalidSettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes in bytes, times in seconds; the defaults are nats-server's but where it says why."""

    user: str = ""
    password: str = ""
    token: str = ""
    max_payload: int = 1024 * 1024
    max_control_line: int = 4096
    # Without a limit one client could fill the memory; Redis's clients have the same.
    max_subscriptions: int = 100_000
    # nats-server's 64 MiB for each of thousands of connections is more than a machine has.
    max_pending: int = OUTBOX_LIMIT_BYTES
    ping_interval: float = 120.0
    ping_max: int = 2
    auth_timeout: float = 2.0

    @property
    def requires_auth(self) -> bool:
        """Whether a client has to say who it is."""
        return bool(self.user or self.token)


def parse_settings(chosen: Mapping[str, Any]) -> Settings:
    """The settings, from what a configuration file or the environment says.

    Raises:
        InvalidSettingsError: an unknown name, or a value that it cannot have.
    """
    try:
        settings = msgspec.convert(dict(chosen), Settings, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidSettingsError(f"nats: {error}") from error
    for name in ("max_payload", "max_control_line", "max_subscriptions", "max_pending", "ping_max"):
        if getattr(settings, name) < 1:
            raise InvalidSettingsError(f"nats: {name} is at least 1")
    if settings.ping_interval <= 0 or settings.auth_timeout <= 0:
        raise InvalidSettingsError("nats: an interval is more than 0 seconds")
    return settings
