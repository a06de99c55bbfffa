"""Matches and styles, one for all clients that subscribed alike, so that they share what is rendered."""

from __future__ import annotations

from weakref import WeakValueDictionary

from hubbub.protocols.mqtt.deliveries import Match, PublishStyle
from hubbub.protocols.mqtt.properties import encode_identifiers


class Matches:
    """A listener's matches; kept for as long as a client has them."""

    def __init__(self) -> None:
        self._matches: WeakValueDictionary[tuple[object, ...], Match] = WeakValueDictionary()

    def get(
        self, version_5: bool, qos: int, as_published: bool, identifiers: tuple[int, ...]
    ) -> Match:
        """The match of clients that speak this version and were granted this."""
        key = (version_5, qos, as_published, identifiers)
        found = self._matches.get(key)
        if found is None:
            encoded = encode_identifiers(identifiers) if version_5 else b""
            styles = tuple(
                PublishStyle(version_5, level, as_published, encoded) for level in range(3)
            )
            found = self._matches[key] = Match(styles, qos, as_published, identifiers)
        return found
