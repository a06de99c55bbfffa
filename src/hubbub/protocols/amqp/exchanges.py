"""Exchanges: what they are, and whom each type of them finds for a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hubbub.protocols.amqp.arguments import text_of
from hubbub.protocols.amqp.errors import precondition_failed
from hubbub.protocols.amqp.headers_match import HeadersMatch, check_match
from hubbub.protocols.amqp.topic_match import TopicTrie, check_binding_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hubbub.broker.routes import NameCache
    from hubbub.protocols.amqp.arguments import Comparable
    from hubbub.protocols.amqp.bindings import Binding
    from hubbub.protocols.amqp.delayed import Delayed
    from hubbub.protocols.amqp.queue import AmqpQueue
    from hubbub.protocols.amqp.tables import Table

DELAYED_TYPE = "x-delayed-message"
DEFAULT_EXCHANGE = ""


class Routed(Protocol):
    """What a message is found its queues by."""

    keys: Sequence[bytes]

    @property
    def headers(self) -> Mapping[str, Comparable]:
        """Its headers (``comparables``). Raises SyntaxFailure."""


class Matcher(Protocol):
    """Finds the bindings of one exchange that a message goes by."""

    def check(self, binding: Binding, /) -> None:
        """Refuse a binding that means nothing here. Raises ChannelError (406)."""

    def add(self, binding: Binding) -> None:
        """One more binding."""

    def remove(self, binding: Binding) -> None:
        """One binding less."""

    def match(self, message: Routed, /) -> Iterable[Binding]:
        """The bindings for a message; may say some twice."""


class Direct:
    """Binding key and routing key are the same (AMQP 0-9-1 section 3.1.3.1)."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, dict[Binding, None]] = {}

    def check(self, binding: Binding) -> None:
        """Any key will do."""

    def add(self, binding: Binding) -> None:
        """See Matcher."""
        self._by_key.setdefault(binding.key, {})[binding] = None

    def remove(self, binding: Binding) -> None:
        """See Matcher."""
        same_key = self._by_key[binding.key]
        del same_key[binding]
        if not same_key:
            del self._by_key[binding.key]

    def match(self, message: Routed) -> Iterable[Binding]:
        """See Matcher."""
        return [binding for key in message.keys for binding in self._by_key.get(key, ())]


class Fanout:
    """Everybody who is bound (section 3.1.3.2)."""

    def __init__(self) -> None:
        self._bindings: dict[Binding, None] = {}

    def check(self, binding: Binding) -> None:
        """Any key will do; it is not looked at."""

    def add(self, binding: Binding) -> None:
        """See Matcher."""
        self._bindings[binding] = None

    def remove(self, binding: Binding) -> None:
        """See Matcher."""
        del self._bindings[binding]

    def match(self, _message: Routed) -> Iterable[Binding]:
        """See Matcher."""
        return self._bindings


class Topic:
    """Binding keys are patterns (section 3.1.3.3)."""

    def __init__(self) -> None:
        self._trie: TopicTrie[Binding] = TopicTrie()

    def check(self, binding: Binding) -> None:
        """See Matcher."""
        check_binding_key(binding.key)

    def add(self, binding: Binding) -> None:
        """See Matcher."""
        self._trie.add(binding.key, binding)

    def remove(self, binding: Binding) -> None:
        """See Matcher."""
        self._trie.remove(binding.key, binding)

    def match(self, message: Routed) -> Iterable[Binding]:
        """See Matcher."""
        return [binding for key in message.keys for binding in self._trie.match(key)]


class Headers:
    """The arguments of a binding say which headers it wants (section 3.1.3.4)."""

    def __init__(self) -> None:
        self._wanted: dict[Binding, HeadersMatch] = {}

    def check(self, binding: Binding) -> None:
        """See Matcher."""
        check_match(binding.arguments)

    def add(self, binding: Binding) -> None:
        """See Matcher."""
        self._wanted[binding] = HeadersMatch(binding.arguments)

    def remove(self, binding: Binding) -> None:
        """See Matcher."""
        del self._wanted[binding]

    def match(self, message: Routed) -> Iterable[Binding]:
        """See Matcher."""
        headers = message.headers
        return [binding for binding, wanted in self._wanted.items() if wanted.matches(headers)]


MATCHERS: dict[str, type[Matcher]] = {
    "direct": Direct,
    "fanout": Fanout,
    "topic": Topic,
    "headers": Headers,
}
DELAYED_BY = "x-delayed-type"

# What every virtual host has from the beginning (section 3.1.3). All durable.
PREDECLARED = {
    DEFAULT_EXCHANGE: "direct",
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.headers": "headers",
    "amq.match": "headers",
    "amq.topic": "topic",
}


def check_type(type_: str) -> None:
    """Refuse a type that there is not. Raises ChannelError (406)."""
    if type_ not in MATCHERS and type_ != DELAYED_TYPE:
        raise precondition_failed(f"unknown exchange type '{type_}'")


def matcher_for(type_: str, arguments: Table) -> Matcher:
    """How an exchange finds its bindings: one that delays, as its argument says.

    Raises ChannelError (406).
    """
    if type_ != DELAYED_TYPE:
        return MATCHERS[type_]()
    found = arguments.get(DELAYED_BY)
    if found is None or found.type_name not in ("longstr", "binary"):
        raise precondition_failed(
            f"Invalid argument, '{DELAYED_BY}' must be an existing exchange type"
        )
    inner = text_of(found)
    if inner == DELAYED_TYPE:
        raise precondition_failed(
            f"Invalid argument, '{DELAYED_TYPE}' can't be used for '{DELAYED_BY}'"
        )
    check_type(inner)
    return MATCHERS[inner]()


class Exchange:
    """One exchange.

    ``cache`` has, by routing key, the queues of messages that carry no CC or BCC; what is not in it
    has to be routed. ``alternate`` names the exchange for what nobody here wants; ``delayed`` is where
    messages wait that said so. ``id`` tells it from others of the same name before and after it.
    """

    __slots__ = (
        "alternate",
        "arguments",
        "auto_delete",
        "cache",
        "delayed",
        "durable",
        "id",
        "internal",
        "matcher",
        "name",
        "names",
        "type",
    )

    def __init__(
        self,
        name: str,
        type_: str,
        *,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Table,
        matcher: Matcher,
        alternate: str | None,
        id_: int,
    ) -> None:
        self.name = name
        self.type = type_
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments = arguments
        self.matcher = matcher
        self.alternate = alternate
        self.id = id_
        self.delayed: Delayed | None = None
        self.names: NameCache | None = None  # what its routing keys are to other protocols
        self.cache: dict[bytes, tuple[AmqpQueue, ...]] = {}
