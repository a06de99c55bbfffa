"""The one cached look-up: right after every change, whoever remembers what."""

from __future__ import annotations

import gc
import weakref

from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.broker import routes as routes_module
from hubbub.broker.broker import Broker
from hubbub.broker.observer import Subscriber
from hubbub.broker.routes import NameCache
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.model.address import Address, from_raw, parse_address
from hubbub.model.pattern import Exact, Glob, parse_pattern
from hubbub.model.settings import TopicSettings

ADDRESSES = [Address(text) for text in ("a", "b", "a.b", "a.b.c", "b.c", "$s.a")]
PATTERNS = [parse_pattern(text) for text in ("a", "a.b", "a.*", "#", "b.>", "a.#.c")] + [
    Glob(b"a*")
]


class Observer:
    def __init__(self, share=None):
        self.subscriber = Subscriber("test", "observer")
        self.share = share

    def observe(self, message):
        pass


class Names:
    """Names as their protocol's mapping takes them."""

    address_of = staticmethod(from_raw)


def small_broker():
    return Broker(MemoryLog(), Timers())


steps = st.lists(
    st.tuples(
        st.sampled_from(["subscribe", "unsubscribe", "create", "capture", "delete"]),
        st.integers(0, len(PATTERNS) - 1),
        st.integers(0, 2),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(steps)
def test_a_remembered_route_is_what_a_new_look_up_finds(steps):
    broker, observers = small_broker(), [Observer() for _ in range(3)]
    names = NameCache(broker.routes, Names)
    for action, which, who in steps:
        pattern, topic = PATTERNS[which], broker.topics.get(ADDRESSES[which % 6])
        if action == "subscribe":
            broker.subscribe(pattern, observers[who])
        elif action == "unsubscribe":
            broker.unsubscribe(pattern, observers[who])
        elif action == "create" and topic is None and which < 5:
            broker.create_topic(ADDRESSES[which], 1)
        elif action == "capture" and topic is not None:
            broker.topics.change(topic, TopicSettings(captures=("a.>", "a.*")[:who]))
        elif action == "delete" and topic is not None:
            broker.delete_topic(topic)
        for address in ADDRESSES:
            route = broker.routes.of(address)
            assert names.of(address.encode()) is route
            assert set(route.observers) == set(broker.observers.match(address))
            home = broker.topics.get(address)
            holders = set(broker.topics.capturing.match(address))
            assert set(route.topics) == holders
            assert len(route.topics) == len(holders)
            assert home is None or route.topics[0] is home


def test_addresses_with_the_same_observers_share_one_tuple():
    broker = small_broker()
    for _ in range(3):
        broker.subscribe(parse_pattern("t.*"), Observer())
    first, second = (broker.routes.of(parse_address(f"t.{n}")) for n in range(2))
    assert first.observers is second.observers
    assert len(first.observers) == 3


def test_a_change_of_one_address_leaves_the_others_alone():
    broker = small_broker()
    other = broker.routes.of(ADDRESSES[1])
    before = broker.routes.of(ADDRESSES[0])
    broker.subscribe(Exact(ADDRESSES[0]), Observer())
    assert broker.routes.of(ADDRESSES[1]) is other
    assert broker.routes.of(ADDRESSES[0]) is not before


def test_addresses_used_once_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(routes_module, "MAX_CACHED_ROUTES", 10)
    broker = small_broker()
    mux = Observer()
    broker.subscribe(parse_pattern("_INBOX.>"), mux)
    for number in range(100):
        assert broker.routes.of(parse_address(f"_INBOX.{number}")).observers == (mux,)
    assert len(broker.routes) <= 10


def test_a_long_address_is_looked_up_each_time_and_right_after_a_change():
    broker, observer = small_broker(), Observer()
    names = NameCache(broker.routes, Names)
    long = parse_address("_INBOX." + "x" * 60_000)
    assert names.of(long.encode()).observers == ()
    assert len(broker.routes) == 0
    broker.subscribe(Exact(long), observer)
    assert names.of(long.encode()).observers == (observer,)


def test_more_names_than_the_cache_has_places_are_all_found():
    broker, observer = small_broker(), Observer()
    broker.subscribe(parse_pattern("n.>"), observer)
    names = NameCache(broker.routes, Names)
    for _ in range(2):
        for number in range(10_000):
            assert names.of(b"n.%d" % number).address == f"n.{number}"


def test_observers_of_one_share_count_as_one():
    broker = small_broker()
    members = [Observer(share=("test", "workers")) for _ in range(3)]
    for member, text in zip(members, ("a.b", "a.*", "#"), strict=True):
        broker.subscribe(parse_pattern(text), member)
    broker.subscribe(parse_pattern("a.b"), Observer())
    assert len(broker.routes.of(ADDRESSES[2]).observers) == 2
    assert broker.routes.of(ADDRESSES[0]).observers == (members[2],)


def test_a_connection_that_went_is_not_remembered_for_having_been_an_observer():
    broker, address = small_broker(), ADDRESSES[0]
    gone = []
    for _ in range(50):
        observer = Observer()
        gone.append(weakref.ref(observer))
        broker.subscribe(Exact(address), observer)
        broker.routes.of(address)
        broker.unsubscribe(Exact(address), observer)
        del observer
    gc.collect()
    assert [each() for each in gone] == [None] * 50


def test_a_route_made_when_the_cache_is_full_is_remembered_too(monkeypatch):
    monkeypatch.setattr(routes_module, "MAX_CACHED_ROUTES", 3)
    broker = small_broker()
    for address in ADDRESSES[:4]:
        route = broker.routes.of(address)
        assert broker.routes.of(address) is route
        assert NameCache(broker.routes, Names).of(address.encode()) is route
