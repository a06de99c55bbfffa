"""What one client subscribed to, and which of it an address matches."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from hubbub.model.pattern import Exact
from hubbub.protocols.mqtt.names import pattern_of, split_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hubbub.model.address import Address
    from hubbub.model.pattern import Wildcard
    from hubbub.protocols.mqtt.codec import TopicFilter
    from hubbub.protocols.mqtt.deliveries import Match

# Addresses whose matches a client with several subscriptions remembers.
_MAX_REMEMBERED = 1024


class Subscription(NamedTuple):
    """One subscription of a client, under its topic filter (MQTT 5 section 3.8.3)."""

    text: bytes  # the topic filter as the client wrote it
    pattern: Exact | Wildcard
    share: bytes | None  # the ShareName
    qos: int
    no_local: bool
    retain_as_published: bool
    identifier: int | None

    @property
    def kind(self) -> tuple[int, bool, bool, int | None]:
        """All but what it matches."""
        return self.qos, self.retain_as_published, self.no_local, self.identifier


def subscription_of(wanted: TopicFilter, identifier: int | None) -> Subscription:
    """The subscription that an entry of SUBSCRIBE asks for. Raises InvalidNameError."""
    shared = split_share(wanted.text)
    pattern = pattern_of(wanted.text if shared is None else shared.filter)
    share = None if shared is None else shared.share
    return Subscription(
        wanted.text,
        pattern,
        share,
        wanted.qos,
        wanted.no_local,
        wanted.retain_as_published,
        identifier,
    )


class Filters:
    """The subscriptions of one client, and what they mean for an address.

    ``make`` makes the ``Match`` of a QoS, Retain As Published and Subscription Identifiers. Where
    several match, a message is delivered once, at the highest QoS and with all identifiers: one of
    the ways that MQTT 5 section 3.3.4 allows.
    """

    __slots__ = ("_by_text", "_exact", "_kinds", "_make", "_remembered", "_shared", "_wildcards")

    def __init__(self, make: Callable[[int, bool, tuple[int, ...]], Match]) -> None:
        self._make = make
        self._by_text: dict[bytes, Subscription] = {}
        self._exact: dict[Address, Subscription] = {}  # but for shared ones
        self._wildcards: dict[bytes, Subscription] = {}
        self._shared: dict[bytes, None] = {}
        self._kinds: Counter[tuple[int, bool, bool, int | None]] = Counter()
        self._remembered: dict[tuple[Address, bool], Match | None] = {}

    def __len__(self) -> int:
        return len(self._by_text)

    def __iter__(self) -> Iterator[Subscription]:
        return iter(tuple(self._by_text.values()))

    def get(self, text: bytes) -> Subscription | None:
        """The subscription with this topic filter."""
        return self._by_text.get(text)

    def add(self, subscription: Subscription) -> None:
        """Subscribe, in place of the one with the same topic filter [MQTT-3.8.4-3]."""
        self.remove(subscription.text)
        self._by_text[subscription.text] = subscription
        if subscription.share is not None:
            self._shared[subscription.text] = None
            return
        self._kinds[subscription.kind] += 1
        if isinstance(subscription.pattern, Exact):
            self._exact[subscription.pattern.address] = subscription
        else:
            self._wildcards[subscription.text] = subscription

    def remove(self, text: bytes) -> Subscription | None:
        """Unsubscribe; what it was."""
        self._remembered.clear()
        found = self._by_text.pop(text, None)
        self._shared.pop(text, None)
        if found is not None and found.share is None:
            self._kinds -= Counter([found.kind])
            if isinstance(found.pattern, Exact):
                del self._exact[found.pattern.address]
            else:
                del self._wildcards[text]
        return found

    def remake(self, make: Callable[[int, bool, tuple[int, ...]], Match]) -> None:
        """Make matches so from now on: the client has connected with another version."""
        self._make = make
        self._remembered.clear()

    @property
    def shared(self) -> Iterator[bytes]:
        """The topic filters of shared subscriptions."""
        return iter(self._shared)

    @property
    def only(self) -> Match | None:
        """The match of every address that there is one for, where all subscriptions say the same."""
        if len(self._kinds) != 1:
            return None
        (qos, as_published, no_local, identifier), count = next(iter(self._kinds.items()))
        if no_local or (identifier is not None and count > 1):
            return None
        return self._make(qos, as_published, _identifiers([identifier]))

    def match(self, address: Address, own: bool) -> Match | None:
        """What the message means to the client; ``own``: it is the one who published it."""
        key = (address, own)
        if key not in self._remembered:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = self._find(address, own=own)
        return self._remembered[key]

    def match_of(self, subscription: Subscription) -> Match:
        """What one subscription alone means."""
        return self._make(
            subscription.qos,
            subscription.retain_as_published,
            _identifiers([subscription.identifier]),
        )

    def _find(self, address: Address, *, own: bool) -> Match | None:
        found = [each for each in self._wildcards.values() if each.pattern.matches(address)]
        exact = self._exact.get(address)
        if exact is not None:
            found.append(exact)
        if own:
            found = [each for each in found if not each.no_local]  # [MQTT-3.8.3-3]
        if not found:
            return None
        return self._make(
            max(each.qos for each in found),
            any(each.retain_as_published for each in found),
            _identifiers(each.identifier for each in found),
        )


def _identifiers(given: Iterable[int | None]) -> tuple[int, ...]:
    return tuple(identifier for identifier in given if identifier is not None)
