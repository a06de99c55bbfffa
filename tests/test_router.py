from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hubbub.broker import router as router_module
from hubbub.broker.router import Router
from hubbub.model.address import from_opaque, parse_address
from hubbub.model.pattern import Exact, Glob, parse_pattern

levels = st.sampled_from(["a", "b", "$s"])
addresses = st.lists(levels, min_size=1, max_size=4).map(".".join)
patterns = st.one_of(
    st.lists(levels | st.sampled_from(["*", "#"]), min_size=1, max_size=4)
    .map(".".join)
    .map(parse_pattern),
    st.lists(levels, min_size=1, max_size=3).map(
        lambda parts: parse_pattern(".".join(parts) + ".>")
    ),
    st.text(alphabet="ab.*?", max_size=5).map(lambda text: Glob(text.encode())),
)
changes = st.lists(st.tuples(st.booleans(), patterns, st.integers(0, 3)), max_size=30)


def is_match(pattern, address: str) -> bool:
    if isinstance(pattern, Glob):
        return pattern.matches_name(address.encode())
    return pattern.matches(address)


@given(changes, st.lists(addresses, min_size=1, max_size=5))
def test_a_route_is_what_the_patterns_say_after_any_changes(changes, asked):
    router: Router[int] = Router()
    table: dict[tuple[object, int], None] = {}
    for add, pattern, value in changes:
        if add:
            router.add(pattern, value)
            table[pattern, value] = None
        else:
            router.remove(pattern, value)
            table.pop((pattern, value), None)
        for address in asked:
            expected = {value for pattern, value in table if is_match(pattern, address)}
            assert sorted(router.route(parse_address(address))) == sorted(expected)


def test_exact_subscribers_come_first_and_the_others_in_the_order_they_came():
    router: Router[str] = Router()
    router.add(Glob(b"orders*"), "glob")
    router.add(parse_pattern("orders.>"), "wildcard")
    router.add(parse_pattern("orders.new"), "second")
    router.add(parse_pattern("#"), "all")
    router.add(parse_pattern("orders.new"), "third")
    assert router.route(parse_address("orders.new")) == (
        "second",
        "third",
        "glob",
        "wildcard",
        "all",
    )


def test_a_glob_sees_the_name_as_redis_spells_it():
    router: Router[str] = Router()
    router.add(Glob(b"\x00*"), "binary")
    assert router.route(from_opaque(b"\x00\xff")) == ("binary",)


def test_adding_twice_under_one_pattern_counts_once():
    router: Router[str] = Router()
    router.add(Exact(parse_address("a")), "x")
    router.add(Exact(parse_address("a")), "x")
    assert router.route(parse_address("a")) == ("x",)


def test_wildcard_characters_in_an_address_are_literals():
    router: Router[str] = Router()
    router.add(parse_pattern("a.*"), "one level")
    assert router.route(parse_address("a.*")) == ("one level",)
    assert router.route(parse_address("a.>")) == ("one level",)
    assert router.route(parse_address("*.b")) == ()


def test_addresses_used_once_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(router_module, "MAX_CACHED_ROUTES", 10)
    router: Router[str] = Router()
    router.add(parse_pattern("_INBOX.>"), "mux")
    for number in range(100):
        assert router.route(parse_address(f"_INBOX.{number}")) == ("mux",)
    assert len(router._routes) <= 10
    long = parse_address("_INBOX." + "x" * 60_000)
    assert router.route(long) == ("mux",)
    assert long not in router._routes


def test_removing_everything_leaves_nothing_behind():
    router: Router[str] = Router()
    for text in ("a", "a.*", "a.#.b", "x.>"):
        router.add(parse_pattern(text), "x")
    for text in ("a", "a.*", "a.#.b", "x.>"):
        router.remove(parse_pattern(text), "x")
    assert not router._exact
    assert router._wildcards.empty


def test_a_pattern_that_matches_in_several_ways_finds_its_value_once():
    router: Router[str] = Router()
    for text in ("#.>", "#.#", "q.#.>", "#.*"):
        router.add(parse_pattern(text), text)
    assert sorted(router.route(parse_address("q.a.b.c"))) == ["#.#", "#.*", "#.>", "q.#.>"]
