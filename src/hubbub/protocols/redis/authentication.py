"""Who a client is: Redis's one password, for the user ``default``."""

from __future__ import annotations

import hashlib
import hmac

from hubbub.protocols.redis.command import CommandError

DEFAULT_USER = "default"

NOT_AUTHENTICATED = "NOAUTH Authentication required."
_WRONG_PASSWORD = "WRONGPASS invalid username-password pair or user is disabled."  # noqa: S105 - an error text


class Authentication:
    """``requirepass``: without a password everyone is in, with one it is asked for first."""

    def __init__(self, password: str | None) -> None:
        self._digest = _digest(password.encode()) if password else None

    @property
    def required(self) -> bool:
        """Whether clients have to authenticate."""
        return self._digest is not None

    def check(self, user: bytes, password: bytes) -> str:
        """The principal that the user is, empty while nobody has to authenticate.

        Raises:
            CommandError: no such user or another password; which of them is not said.
        """
        known = hmac.compare_digest(user, DEFAULT_USER.encode())
        # A user without a password has any password, as Redis's "nopass".
        right = self._digest is None or hmac.compare_digest(_digest(password), self._digest)
        if not known or not right:
            raise CommandError(_WRONG_PASSWORD)
        return DEFAULT_USER if self.required else ""


def _digest(password: bytes) -> bytes:
    # Compared in constant time, whatever the lengths; the password itself is not kept.
    return hashlib.sha256(password).digest()
