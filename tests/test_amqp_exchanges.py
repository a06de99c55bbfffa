"""Exchanges of each type, and the ways between them: which queues a message goes to."""

from __future__ import annotations

import pytest

from amqp_vhost import Place, properties, refused
from hubbub.protocols.amqp import routing as routing_module
from hubbub.protocols.amqp.carbon_copies import check_copies, without_bcc
from hubbub.protocols.amqp.errors import SyntaxFailure
from hubbub.protocols.amqp.properties import decode_headers
from hubbub.protocols.amqp.tables import table_of


@pytest.fixture
def place() -> Place:
    place = Place()
    for name in ("q1", "q2", "q3"):
        place.declare(name)
    return place


def test_the_default_exchange_finds_a_queue_by_its_name(place: Place) -> None:
    assert place.route("", "q1") == ["q1"]
    assert place.route("", "nobody") == []


def test_a_direct_exchange_goes_by_the_same_key(place: Place) -> None:
    place.bind("q1", "amq.direct", "a")
    place.bind("q1", "amq.direct", "b")
    place.bind("q2", "amq.direct", "a")
    assert place.route("amq.direct", "a") == ["q1", "q2"]
    assert place.route("amq.direct", "b") == ["q1"]
    assert place.route("amq.direct", "") == []
    place.unbind("q1", "amq.direct", "a")
    assert place.route("amq.direct", "a") == ["q2"]


def test_two_bindings_of_one_key_are_undone_one_by_one(place: Place) -> None:
    place.bind("q1", "amq.direct", "a")
    place.bind("q1", "amq.direct", "a", mine=1)
    place.unbind("q1", "amq.direct", "a")
    assert place.route("amq.direct", "a") == ["q1"]
    place.unbind("q1", "amq.direct", "a", mine=1)
    assert place.route("amq.direct", "a") == []


def test_a_fanout_exchange_gives_all_whatever_the_key(place: Place) -> None:
    place.bind("q1", "amq.fanout", "a")
    place.bind("q2", "amq.fanout")
    assert place.route("amq.fanout", "zzz") == ["q1", "q2"]


def test_a_topic_exchange_goes_by_patterns_and_gives_each_queue_one(place: Place) -> None:
    place.bind("q1", "amq.topic", "orders.#")
    place.bind("q1", "amq.topic", "orders.*")
    place.bind("q2", "amq.topic", "*.eu.created")
    assert place.route("amq.topic", "orders.eu.created") == ["q1", "q2"]
    assert place.route("amq.topic", "orders") == ["q1"]
    place.unbind("q1", "amq.topic", "orders.#")
    assert place.route("amq.topic", "orders") == []
    assert place.route("amq.topic", "orders.eu") == ["q1"]


def test_a_hostile_binding_key_is_refused(place: Place) -> None:
    assert refused(406, place.bind, "q1", "amq.topic", "#.a.#.b.#.c.#.d.#").endswith("are allowed")
    assert len(place.vhost.bindings) == 0


def test_a_headers_exchange_goes_by_headers(place: Place) -> None:
    place.bind("q1", "amq.headers", "", **{"x-match": "all", "kind": "pdf", "pages": 3})
    place.bind("q2", "amq.headers", "", **{"x-match": "any", "kind": "pdf", "pages": 3})
    assert place.route("amq.headers", "", {"kind": "pdf", "pages": 3}) == ["q1", "q2"]
    assert place.route("amq.headers", "", {"kind": "pdf"}) == ["q2"]
    assert place.route("amq.headers", "") == []


# --- from exchange to exchange ------------------------------------------------------------------


def test_messages_go_on_from_exchange_to_exchange_and_in_no_circle(place: Place) -> None:
    for name in ("a", "b", "c"):
        place.exchange(name, "topic")
    place.vhost.bind_exchange("b", "a", b"x.#", {})
    place.vhost.bind_exchange("c", "b", b"#", {})
    place.vhost.bind_exchange("a", "c", b"#", {})
    place.bind("q1", "a", "x.y")
    place.bind("q2", "c", "x.*")
    place.bind("q1", "c", "#")
    assert place.route("a", "x.y") == ["q1", "q2"]
    assert place.route("a", "y") == []
    assert place.route("b", "y") == ["q1"]


def test_a_long_chain_of_exchanges_is_followed(place: Place) -> None:
    for number in range(2000):
        place.exchange(f"x{number}", "fanout")
        if number:
            place.vhost.bind_exchange(f"x{number}", f"x{number - 1}", b"", {})
    place.bind("q1", "x1999")
    assert place.route("x0", "") == ["q1"]


def test_an_alternate_exchange_gets_what_nobody_wants(place: Place) -> None:
    place.exchange("x", "direct", table_of({"alternate-exchange": "y"}))
    place.exchange("y", "direct", table_of({"alternate-exchange": "x"}))  # a circle
    place.bind("q1", "x", "a")
    place.bind("q2", "y", "b")
    assert place.route("x", "a") == ["q1"]
    assert place.route("x", "b") == ["q2"]
    assert place.route("x", "c") == []


def test_an_alternate_exchange_need_not_be_there_yet(place: Place) -> None:
    place.exchange("x", "direct", table_of({"alternate-exchange": "late"}))
    assert place.route("x", "a") == []
    place.exchange("late", "fanout")
    place.bind("q1", "late")
    assert place.route("x", "a") == ["q1"]
    place.vhost.delete_exchange("late")
    assert place.route("x", "a") == []


def test_the_alternate_is_asked_for_what_reached_no_queue_of_this_exchange_only(
    place: Place,
) -> None:
    place.exchange("x", "direct", table_of({"alternate-exchange": "amq.fanout"}))
    place.exchange("dead-end", "direct")
    place.vhost.bind_exchange("dead-end", "x", b"a", {})
    place.bind("q1", "amq.fanout")
    assert place.route("x", "a") == []  # it was wanted, further on by nobody
    assert place.route("x", "b") == ["q1"]


# --- CC and BCC ---------------------------------------------------------------------------------


def test_cc_and_bcc_are_further_keys(place: Place) -> None:
    headers = {"CC": ["q2"], "BCC": ["q3", "q1"]}
    assert place.route("", "q1", headers) == ["q1", "q2", "q3"]
    assert place.route("", "q1", {"cc": ["q2"]}) == ["q1"]
    assert place.route("", "q1", {"CC": [1, True]}) == ["q1"]


def test_copies_come_through_every_type_and_the_alternate_only_when_no_key_is_wanted(
    place: Place,
) -> None:
    place.exchange("x", "direct", table_of({"alternate-exchange": "amq.fanout"}))
    place.bind("q1", "amq.topic", "b.*")
    place.bind("q2", "x", "b")
    place.bind("q3", "amq.fanout")
    assert place.route("amq.topic", "a", {"CC": ["b.c"]}) == ["q1"]
    assert place.route("x", "a", {"BCC": ["b"]}) == ["q2"]
    assert place.route("x", "a", {"BCC": ["c"]}) == ["q3"]


@pytest.mark.parametrize("name", ["CC", "BCC"])
def test_copies_that_are_no_list_are_refused_to_a_publisher(name: str) -> None:
    check_copies(properties({name: ["q2"]}))
    text = refused(406, check_copies, properties({name: "q2"}))
    assert text == f'invalid message: {{unacceptable_type_in_header,"{name}",longstr}}'


def test_copies_that_are_no_list_are_none_to_a_message_of_others(place: Place) -> None:
    assert place.route("", "q1", {"CC": "q2"}) == ["q1"]


def test_bcc_is_not_delivered() -> None:
    encoded = properties({"BCC": ["a"], "CC": ["b"], "x": 1}, priority=3)
    shown = without_bcc(encoded)
    assert list(decode_headers(shown) or {}) == ["CC", "x"]
    assert without_bcc(shown) is shown


def test_a_copy_in_the_middle_of_something_else_is_none(place: Place) -> None:
    assert place.route("", "q1", {"x": "\x02CC \x03BCC"}) == ["q1"]


def test_headers_that_are_none_are_an_error_where_they_are_looked_at(place: Place) -> None:
    broken = b"\x20\x00\x00\x00\x00\x04\x02CCX"
    with pytest.raises(SyntaxFailure):
        place.vhost.route(place.vhost.exchange(""), b"q1", broken)


# --- the cache ----------------------------------------------------------------------------------


def cached(place: Place, exchange: str) -> set[bytes]:
    return set(place.vhost.exchange(exchange).cache)


def test_routes_are_remembered_until_something_on_the_way_changes(place: Place) -> None:
    place.exchange("a", "direct")
    place.exchange("b", "direct", table_of({"alternate-exchange": "amq.fanout"}))
    place.vhost.bind_exchange("b", "a", b"k", {})
    for exchange in ("a", "b", "amq.direct"):
        place.route(exchange, "k")
    assert cached(place, "a") == cached(place, "b") == cached(place, "amq.direct") == {b"k"}
    place.bind("q1", "amq.fanout")
    assert cached(place, "a") == cached(place, "b") == set()
    assert cached(place, "amq.direct") == {b"k"}
    assert place.route("a", "k") == ["q1"]
    place.vhost.delete_queue("q1")
    assert place.route("a", "k") == []


def test_a_new_queue_changes_what_the_default_exchange_finds_by_that_name_only(
    place: Place,
) -> None:
    place.route("", "q1")
    assert place.route("", "new") == []
    place.declare("new")
    assert cached(place, "") == {b"q1"}
    assert place.route("", "new") == ["new"]
    place.vhost.delete_queue("new")
    assert place.route("", "new") == []


def test_the_default_exchange_as_an_alternate_sees_queues_come_and_go(place: Place) -> None:
    place.exchange("x", "direct", table_of({"alternate-exchange": ""}))
    assert place.route("x", "new") == []
    place.declare("new")
    assert place.route("x", "new") == ["new"]
    place.vhost.delete_queue("new")
    assert place.route("x", "new") == []


def test_what_headers_decide_is_not_remembered(place: Place) -> None:
    place.exchange("x", "fanout")
    place.vhost.bind_exchange("amq.headers", "x", b"", {})
    place.bind("q1", "amq.headers", "", kind="pdf")
    assert place.route("x", "k") == []
    assert place.route("x", "k", {"kind": "pdf"}) == ["q1"]
    assert cached(place, "x") == cached(place, "amq.headers") == set()


def test_a_message_with_copies_is_neither_remembered_nor_found_by_its_key_alone(
    place: Place,
) -> None:
    assert place.route("", "q1", {"CC": ["q2"]}) == ["q1", "q2"]
    assert place.route("", "q1") == ["q1"]
    assert place.route("", "q1", {"CC": ["q2"]}) == ["q1", "q2"]


def test_routes_are_remembered_in_a_bounded_number(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing_module, "MAX_CACHED", 100)
    for number in range(1000):
        place.route("amq.direct", f"k{number}")
        place.route("amq.topic", f"k{number}")
        assert len(cached(place, "amq.direct") | cached(place, "amq.topic")) <= 100


# --- x-delayed-message --------------------------------------------------------------------------


def test_an_exchange_that_delays_says_what_it_is_besides(place: Place) -> None:
    text = refused(406, place.exchange, "x", "x-delayed-message")
    assert text == "Invalid argument, 'x-delayed-type' must be an existing exchange type"
    arguments = table_of({"x-delayed-type": "x-delayed-message"})
    text = refused(406, place.exchange, "x", "x-delayed-message", arguments)
    assert text == ("Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'")
    arguments = table_of({"x-delayed-type": "bogus"})
    text = refused(406, place.exchange, "x", "x-delayed-message", arguments)
    assert text == "unknown exchange type 'bogus'"
    place.exchange("x", "x-delayed-message", table_of({"x-delayed-type": "topic"}))
    text = refused(406, place.exchange, "x", "topic")
    assert text == (
        "inequivalent arg 'type' for exchange 'x' in vhost '/': "
        "received 'topic' but current is ''x-delayed-message''"
    )
