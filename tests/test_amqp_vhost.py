"""Virtual hosts: declaring, binding, deleting, what comes back, and RabbitMQ's words for what is refused."""

from __future__ import annotations

import pytest

from amqp_vhost import Place, properties, refused
from held_log import HeldLog, HeldPartition
from hubbub.broker.takers import OpenTaker
from hubbub.model.errors import StorageError
from hubbub.protocols.amqp import queues as queues_module
from hubbub.protocols.amqp import vhost as vhost_module
from hubbub.protocols.amqp.tables import Field, table_of
from hubbub.protocols.amqp.vhost import VirtualHost


@pytest.fixture
def place() -> Place:
    return Place()


# --- exchanges ----------------------------------------------------------------------------------


def test_a_virtual_host_has_the_exchanges_that_clients_expect(place: Place) -> None:
    assert {name: each.type for name, each in place.vhost.exchanges.items()} == {
        "": "direct",
        "amq.direct": "direct",
        "amq.fanout": "fanout",
        "amq.headers": "headers",
        "amq.match": "headers",
        "amq.topic": "topic",
    }
    assert all(each.durable for each in place.vhost.exchanges.values())


def test_an_exchange_of_an_unknown_type_is_refused(place: Place) -> None:
    assert refused(406, place.exchange, "x", "bogus") == "unknown exchange type 'bogus'"


def test_passive_declaration_finds_or_fails(place: Place) -> None:
    text = refused(404, place.exchange, "x", "", passive=True)
    assert text == "no exchange 'x' in vhost '/'"
    place.exchange("x", "direct")
    place.exchange("x", "", passive=True)


def test_the_default_exchange_is_not_to_be_touched(place: Place) -> None:
    place.declare("q")
    for call in (
        lambda: place.exchange("", "direct"),
        lambda: place.exchange("", "", passive=True),
        lambda: place.vhost.delete_exchange(""),
        lambda: place.bind("q", ""),
        lambda: place.unbind("q", ""),
        lambda: place.vhost.bind_exchange("", "amq.direct", b"", {}),
        lambda: place.vhost.bind_exchange("amq.direct", "", b"", {}),
        lambda: place.vhost.unbind_exchange("", "amq.direct", b"", {}),
    ):
        assert refused(403, call) == "operation not permitted on the default exchange"


def test_reserved_names_are_refused_unless_they_are_there(place: Place) -> None:
    text = refused(403, place.exchange, "amq.mine", "direct")
    assert text == "exchange name 'amq.mine' contains reserved prefix 'amq.*'"
    place.exchange("amq.direct", "direct", durable=True)
    text = refused(403, place.vhost.delete_exchange, "amq.direct")
    assert text == "deletion of system exchange 'amq.direct' in vhost '/' not allowed"
    text = refused(403, place.declare, "amq.mine")
    assert text == "queue name 'amq.mine' contains reserved prefix 'amq.*'"


@pytest.mark.parametrize(
    ("type_", "flags", "text"),
    [
        (
            "fanout",
            {},
            "'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'topic'",
        ),
        (
            "topic",
            {"durable": True},
            "'durable' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            "topic",
            {"auto_delete": True},
            "'auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            "topic",
            {"internal": True},
            "'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            "topic",
            {"arguments": table_of({"alternate-exchange": "y"})},
            (
                "'alternate-exchange' for exchange 'x' in vhost '/': "
                "received the value 'y' of type 'longstr' but current is none"
            ),
        ),
    ],
)
def test_an_exchange_is_declared_again_only_as_it_is(
    place: Place, type_: str, flags: dict[str, object], text: str
) -> None:
    place.exchange("x", "topic")
    place.exchange("x", "topic", table_of({"whatever": 1}))
    assert refused(406, place.exchange, "x", type_, **flags) == f"inequivalent arg {text}"


def test_an_alternate_exchange_is_named_by_a_string(place: Place) -> None:
    text = refused(406, place.exchange, "x", "direct", table_of({"alternate-exchange": 1}))
    assert text == "invalid type 'long' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"


def test_an_exchange_in_use_stays_if_asked_to(place: Place) -> None:
    place.exchange("x", "direct")
    place.declare("q")
    place.bind("q", "x", "k")
    text = refused(406, place.vhost.delete_exchange, "x", if_unused=True)
    assert text == "exchange 'x' in vhost '/' in use"
    place.vhost.delete_exchange("x")
    place.vhost.delete_exchange("x")  # there is none: no error
    assert refused(404, place.vhost.exchange, "x") == "no exchange 'x' in vhost '/'"
    assert len(place.vhost.bindings) == 0


def test_line_ends_are_taken_out_of_names(place: Place) -> None:
    place.exchange("x\r\ny", "direct")
    assert place.vhost.exchange("xy").type == "direct"
    assert place.declare("q\n").name == "q"


# --- bindings -----------------------------------------------------------------------------------


def test_what_is_not_there_cannot_be_bound(place: Place) -> None:
    assert refused(404, place.bind, "q", "x") == "no exchange 'x' in vhost '/'"
    assert refused(404, place.bind, "q", "amq.direct") == "no queue 'q' in vhost '/'"
    text = refused(404, place.vhost.bind_exchange, "x", "amq.direct", b"", {})
    assert text == "no exchange 'x' in vhost '/'"


def test_unbinding_what_is_not_there_is_no_error(place: Place) -> None:
    place.unbind("q", "x")
    place.declare("q")
    place.unbind("q", "amq.direct", "k")
    place.vhost.unbind_exchange("x", "y", b"", {})


def test_bindings_differ_by_key_and_arguments_and_not_by_their_order(place: Place) -> None:
    place.declare("q")
    place.bind("q", "amq.headers", "", a="1", b="2")
    place.bind("q", "amq.headers", "", b="2", a="1")
    assert len(place.vhost.bindings) == 1
    place.bind("q", "amq.headers", "k", a="1", b="2")
    place.bind("q", "amq.headers", "", a="1")
    assert len(place.vhost.bindings) == 3
    place.unbind("q", "amq.headers", "", b="2", a="1")
    assert len(place.vhost.bindings) == 2


def test_an_auto_delete_exchange_goes_with_its_last_binding_and_so_does_what_leads_to_it(
    place: Place,
) -> None:
    for name in ("first", "second", "third"):
        place.exchange(name, "fanout", auto_delete=True)
    place.vhost.bind_exchange("second", "first", b"", {})
    place.vhost.bind_exchange("third", "second", b"", {})
    place.declare("q")
    place.declare("other")
    place.bind("q", "third")
    place.bind("other", "third")
    place.unbind("other", "third")
    assert place.route("first", "") == ["q"]
    place.vhost.delete_queue("q")
    assert not {"first", "second", "third"} & place.vhost.exchanges.keys()
    assert len(place.vhost.bindings) == 0


def test_deleting_an_exchange_takes_the_auto_delete_one_that_led_to_it(place: Place) -> None:
    place.exchange("from", "fanout", auto_delete=True)
    place.exchange("to", "fanout")
    place.vhost.bind_exchange("to", "from", b"", {})
    place.vhost.bind_exchange("from", "from", b"", {})
    place.vhost.unbind_exchange("from", "from", b"", {})
    place.vhost.delete_exchange("to")
    assert "from" not in place.vhost.exchanges


def test_what_a_virtual_host_may_have_is_limited(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vhost_module, "MAX_EXCHANGES", 7)
    monkeypatch.setattr(vhost_module, "MAX_BINDINGS", 1)
    monkeypatch.setattr(queues_module, "MAX_QUEUES", 1)
    place.exchange("x", "direct")
    text = refused(406, place.exchange, "y", "direct")
    assert text == "cannot declare exchange 'y' in vhost '/': exchange limit of 7 is reached"
    place.exchange("x", "direct")
    place.declare("q")
    text = refused(406, place.declare, "r")
    assert text == "cannot declare queue 'r': queue limit in vhost '/' (1) is reached"
    place.bind("q", "x")
    place.bind("q", "x")
    text = refused(406, place.bind, "q", "x", "k")
    assert text == "cannot bind to exchange 'x' in vhost '/': binding limit of 1 is reached"


# --- queues -------------------------------------------------------------------------------------


def test_a_queue_without_a_name_gets_one(place: Place) -> None:
    names = {place.declare("").name for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("amq.gen-") for name in names)
    assert place.declare("", {"x-name-prefix": "mine"}).name.startswith("mine-")
    assert place.declare(min(names), passive=True).name == min(names)
    text = refused(406, place.declare, "", {"x-name-prefix": "m" * 65})
    assert text == f"Queue name prefix '{'m' * 65}' exceeds the 64-byte limit"


def test_a_passive_declaration_finds_or_fails(place: Place) -> None:
    text = refused(404, place.declare, "q", passive=True)
    assert text == "no queue 'q' in vhost '/'"
    queue = place.declare("q")
    assert place.declare("q", passive=True, durable=True) is queue


@pytest.mark.parametrize(
    ("flags", "arguments", "text"),
    [
        (
            {"durable": True},
            {},
            "'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {"auto_delete": True},
            {},
            "'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {},
            {"x-message-ttl": 2},
            "'x-message-ttl' for queue 'q' in vhost '/': received '2' but current is '1'",
        ),
        (
            {},
            {"x-message-ttl": 1, "x-max-length": 5},
            (
                "'x-max-length' for queue 'q' in vhost '/': "
                "received the value '5' of type 'long' but current is none"
            ),
        ),
        (
            {},
            {},
            (
                "'x-message-ttl' for queue 'q' in vhost '/': "
                "received none but current is the value '1' of type 'long'"
            ),
        ),
        (
            {},
            {"x-message-ttl": 1, "x-queue-type": "quorum"},
            "'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is 'classic'",
        ),
    ],
)
def test_a_queue_is_declared_again_only_as_it_is(
    place: Place, flags: dict[str, bool], arguments: dict[str, object], text: str
) -> None:
    place.declare("q", {"x-message-ttl": 1})
    assert refused(406, place.declare, "q", arguments, **flags) == f"inequivalent arg {text}"


def test_integers_of_any_width_and_unknown_arguments_are_the_same_queue(place: Place) -> None:
    queue = place.declare("q", {"x-message-ttl": 1, "mine": "a"})
    again = {"x-message-ttl": Field("b", 1), "x-queue-type": "classic", "mine": "b"}
    assert place.declare("q", again) is queue


def test_an_exclusive_queue_is_its_owners_alone_and_goes_with_it(place: Place) -> None:
    owner, other = object(), object()
    queue = place.declare("q", exclusive=True, durable=True, owner=owner)
    assert not queue.durable
    for call in (
        lambda: place.vhost.queue("q", other),
        lambda: place.declare("q", passive=True, owner=other),
        lambda: place.declare("q", exclusive=True, owner=other),
        lambda: place.declare("q", owner=owner),
        lambda: place.vhost.purge_queue("q", other),
        lambda: place.vhost.delete_queue("q", owner=other),
        lambda: place.bind("q", "amq.fanout"),
    ):
        assert refused(405, call) == (
            "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be "
            "originally declared on another connection or the exclusive property value does not "
            "match that of the original declaration."
        )
    assert place.declare("q", exclusive=True, owner=owner) is queue
    place.vhost.connection_closed(other)
    assert "q" in place.vhost.queues
    place.vhost.connection_closed(owner)
    assert place.deleted == ["q"]
    assert "q" not in place.vhost.queues
    assert place.broker.work_queues.get(queue.work.name) is None


def test_a_queue_for_everybody_does_not_become_exclusive(place: Place) -> None:
    place.declare("q")
    text = refused(405, place.declare, "q", exclusive=True, owner=object())
    assert text.startswith("cannot obtain exclusive access to locked queue 'q'")


def test_a_queue_in_use_or_not_empty_stays_if_asked_to(place: Place) -> None:
    place.declare("q")
    place.publish("", "q")
    text = refused(406, place.vhost.delete_queue, "q", if_empty=True)
    assert text == "queue 'q' in vhost '/' not empty"
    assert place.vhost.delete_queue("q", if_unused=True) == 1
    assert place.vhost.delete_queue("q") == 0
    place.declare("quorum", {"x-queue-type": "quorum"}, durable=True)
    text = refused(540, place.vhost.delete_queue, "quorum", if_unused=True)
    assert text == (
        "cannot delete queue 'quorum' in vhost '/'. queue.delete operations with if-unused flag "
        "set are not supported by quorum queues"
    )


def test_purging_tells_how_many_waited(place: Place) -> None:
    place.declare("q")
    place.publish("", "q")
    place.publish("", "q")
    assert place.vhost.purge_queue("q", None) == 2
    assert refused(404, place.vhost.purge_queue, "r", None) == "no queue 'r' in vhost '/'"
    place.declare("s", {"x-queue-type": "stream"}, durable=True)
    text = refused(540, place.vhost.purge_queue, "s", None)
    assert text == "queue.purge not supported by stream queues queue 's' in vhost '/'"


def test_a_queue_expires_when_nobody_used_it_for_so_long(place: Place) -> None:
    queue = place.declare("q", {"x-expires": 10_000})
    place.advance(6)
    place.vhost.used(queue)
    place.advance(6)
    place.declare("q", {"x-expires": 10_000})
    place.advance(9)
    assert "q" in place.vhost.queues
    place.advance(2)
    assert place.deleted == ["q"]


def test_a_queue_does_not_expire_while_it_has_a_consumer(place: Place) -> None:
    queue = place.declare("q", {"x-expires": 1_000})
    taker = OpenTaker()
    queue.work.join(taker)
    place.advance(5)
    queue.work.leave(taker)
    place.advance(0.5)
    assert "q" in place.vhost.queues
    place.advance(1)
    assert "q" not in place.vhost.queues


def test_an_auto_delete_queue_goes_with_its_last_consumer(place: Place) -> None:
    queue = place.declare("q", auto_delete=True)
    place.declare("stays")
    for each in ("q", "stays"):
        takers = OpenTaker(), OpenTaker()
        for taker in takers:
            place.vhost.queues[each].work.join(taker)
        place.vhost.queues[each].work.leave(takers[0])
        assert each in place.vhost.queues
        place.vhost.queues[each].work.leave(takers[1])
    place.advance(0)
    assert place.deleted == ["q"]
    assert queue.deleted


# --- after a restart ----------------------------------------------------------------------------


def test_what_is_durable_comes_back(place: Place) -> None:
    place.exchange("x", "topic", table_of({"alternate-exchange": "y"}), durable=True)
    place.exchange("y", "fanout", durable=True, internal=True)
    place.exchange("gone", "fanout")
    arguments = {"x-max-length": 5, "x-dead-letter-exchange": "y"}
    place.declare("q", arguments, durable=True)
    place.declare("gone")
    place.declare("s", {"x-queue-type": "stream"}, durable=True)
    place.bind("q", "x", "a.*", mine=1)
    place.bind("q", "gone")
    place.bind("gone", "x", "b.*")
    place.bind("s", "y")
    place.bind("q", "amq.direct", "k")
    place.vhost.bind_exchange("y", "x", b"c.#", {})
    place.publish("", "q", delivery_mode=2)
    place.restart()
    assert place.vhost.exchange("x").alternate == "y"
    assert place.vhost.exchange("y").internal
    assert sorted(place.vhost.queues) == ["q", "s"]
    assert place.declare("q", arguments, durable=True).ready == 1
    assert place.vhost.queues["s"].kind == "stream"
    assert len(place.vhost.bindings) == 4
    assert place.route("amq.direct", "k") == ["q"]
    assert place.route("x", "a.b") == ["q"]
    assert place.route("x", "c.d") == ["s"]


def test_what_was_deleted_stays_away(place: Place) -> None:
    place.exchange("x", "fanout", durable=True, auto_delete=True)
    place.declare("q", durable=True)
    place.declare("s", {"x-queue-type": "stream"}, durable=True)
    place.bind("q", "x")
    place.vhost.delete_queue("q")
    place.vhost.delete_queue("s")
    place.restart()
    assert "x" not in place.vhost.exchanges
    assert not place.vhost.queues
    assert len(place.vhost.bindings) == 0


def test_a_binding_that_a_crash_left_does_not_bind_what_has_its_names_now(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.exchange("x", "fanout", durable=True)
    place.declare("q", durable=True)
    place.bind("q", "x")

    def crash(_keys: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(place.vhost._definitions, "forget", crash)
        with pytest.raises(StorageError):
            place.vhost.delete_queue("q")
    place.declare("q", durable=True)
    place.restart()
    assert "q" in place.vhost.queues
    assert place.route("x", "") == []
    place.restart()
    assert not [key for key in place.broker.table(b"amqp").load() if b"binding" in key]


def test_what_could_not_be_forgotten_is_forgotten_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.exchange("x", "fanout", durable=True)

    def full(*_pairs: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(place.vhost._definitions._table, "put", full)
        with pytest.raises(StorageError):
            place.vhost.delete_exchange("x")
        place.advance(1.5)
    assert "x" not in place.vhost.exchanges
    place.advance(2)
    place.restart()
    assert "x" not in place.vhost.exchanges


def test_what_cannot_be_stored_is_not_declared(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.declare("q", durable=True)

    def full(*_pairs: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(place.vhost._definitions._table, "put", full)
    for call in (
        lambda: place.exchange("x", "fanout", durable=True),
        lambda: place.bind("q", "amq.fanout"),
        lambda: place.declare("s", {"x-queue-type": "stream"}, durable=True),
    ):
        with pytest.raises(StorageError):
            call()
    assert "x" not in place.vhost.exchanges
    assert "s" not in place.vhost.queues
    assert place.route("amq.fanout", "") == []


class CrashError(BaseException):
    """The process is gone."""


def test_a_crash_between_any_two_writes_leaves_what_was_or_what_was_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def state(place: Place) -> object:
        bindings = place.vhost.bindings._all.values()
        return (
            sorted(place.vhost.exchanges),
            sorted(place.vhost.queues),
            sorted((each.source.name, each.destination.name, each.key) for each in bindings),
        )

    delayed = table_of({"x-delayed-type": "fanout"})
    steps = (
        lambda place: place.exchange("first", "fanout", durable=True, auto_delete=True),
        lambda place: place.exchange("middle", "fanout", durable=True, auto_delete=True),
        lambda place: place.exchange("late", "x-delayed-message", delayed, durable=True),
        lambda place: place.declare("q", durable=True),
        lambda place: place.vhost.bind_exchange("middle", "first", b"", {}),
        lambda place: place.bind("q", "middle", "k"),
        lambda place: place.bind("q", "amq.topic", "#"),
        lambda place: place.declare("s", {"x-queue-type": "stream"}, durable=True),
        lambda place: place.bind("s", "late"),
        lambda place: place.vhost.delete_queue("q"),  # takes first and middle with it
        lambda place: place.declare("q", durable=True),
        lambda place: place.bind("q", "late"),
        lambda place: place.vhost.delete_exchange("late"),
        lambda place: place.vhost.delete_queue("s"),
    )
    append = HeldPartition.append
    for survived in range(60):
        left = [survived]

        def counted(self: HeldPartition, *args: object, left: list[int] = left) -> object:
            if not left[0]:
                raise CrashError
            left[0] -= 1
            return append(self, *args)

        place = Place(HeldLog())
        before = state(place)
        with monkeypatch.context() as patch:
            patch.setattr(HeldPartition, "append", counted)
            try:
                for step in steps:
                    before = state(place)
                    step(place)
            except CrashError:
                pass
            else:
                assert survived > 20  # the script is over
                return
        after_crash = state(Place(place.log.survivor(power_cut=False)))
        again = Place(HeldLog())
        for each in steps[: steps.index(step) + 1]:
            each(again)
        assert after_crash in (before, state(again)), survived
    raise AssertionError("the script is longer than this test thinks")


def test_arguments_are_of_a_bounded_size(place: Place) -> None:
    place.declare("q")
    text = "arguments of 5010 bytes, at most 4096 are allowed"
    for call in (
        lambda: place.declare("r", {"mine": "a" * 5000}),
        lambda: place.exchange("x", "fanout", table_of({"mine": "a" * 5000})),
        lambda: place.bind("q", "amq.fanout", "", mine="a" * 5000),
    ):
        assert refused(406, call) == text


def test_virtual_hosts_have_nothing_in_common(place: Place) -> None:
    place.declare("q", durable=True)
    place.exchange("x", "fanout", durable=True)
    other = VirtualHost(place.broker, "/:q", lambda _: None)
    assert "x" not in other.exchanges
    queue = other.declare_queue("q", durable=True)
    place.publish("", "q")
    assert (place.ready("q"), queue.ready) == (1, 0)
    place.restart()
    assert VirtualHost(place.broker, "/:q", lambda _: None).queues.keys() == {"q"}
    assert VirtualHost(place.broker, "", lambda _: None).queues.keys() == set()


def test_names_need_not_be_utf_8(place: Place) -> None:
    name = b"q\xff".decode("utf-8", "surrogateescape")
    place.exchange(name, "fanout", durable=True)
    place.declare(name, durable=True)
    place.vhost.bind_queue(name, name, b"\xfe", {}, None)
    place.restart()
    route = place.vhost.route(place.vhost.exchange(name), b"", properties())
    assert [queue.name for queue in route] == [name]
    default = place.vhost.exchange("")
    assert [queue.name for queue in place.vhost.route(default, b"q\xff", properties())] == [name]


def test_it_is_told_when_definitions_are_durable() -> None:
    place = Place(HeldLog())
    told: list[object] = []
    place.exchange("x", "fanout", durable=True)
    place.vhost.when_durable(told.append)
    assert told == []
    place.log.sync()
    assert told == [None]
