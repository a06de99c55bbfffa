"""x-delayed-message: messages that wait at the exchange."""

from __future__ import annotations

from typing import Any

import pytest

from amqp_vhost import Place
from held_log import HeldLog
from hubbub.protocols.amqp.delayed import MAX_DELAY_MS, delay_ms
from hubbub.protocols.amqp.tables import Field, table_of


def delayed(place: Place, type_: str = "direct", **flags: Any) -> None:
    arguments = table_of({"x-delayed-type": type_})
    place.exchange("later", "x-delayed-message", arguments, durable=True, **flags)
    place.declare("q", durable=True)
    place.bind("q", "later", "k")


@pytest.fixture
def place() -> Place:
    place = Place()
    delayed(place)
    return place


def test_a_message_waits_for_its_delay(place: Place) -> None:
    assert place.publish("later", "k", {"x-delay": 5000}) == 1
    place.advance(4.9)
    assert place.ready("q") == 0
    place.advance(0.2)
    [(mark, headers, _)] = place.take("q")
    assert (mark.exchange, mark.key) == (b"later", b"k")
    assert headers == {"x-delay": -5000}


def test_without_a_delay_it_is_an_exchange_as_its_type_says(place: Place) -> None:
    for headers in (None, {}, {"x-delay": 0}, {"x-delay": -1}, {"x-delay": MAX_DELAY_MS + 1}):
        place.publish("later", "k", headers)
    assert place.ready("q") == 5
    assert place.publish("later", "other", {}) == 0


def test_messages_come_when_they_are_due_and_not_in_their_order(place: Place) -> None:
    for name, delay in (("late", 3000), ("soon", 1000), ("sooner", 500)):
        place.publish("later", "k", {"x-delay": delay, "name": name})
    place.advance(0.6)
    assert place.ready("q") == 1
    place.advance(3)
    assert [headers["name"] for _, headers, _ in place.take("q")] == ["sooner", "soon", "late"]


def test_who_is_bound_when_it_is_due_gets_it(place: Place) -> None:
    place.publish("later", "k", {"x-delay": 1000})
    place.unbind("q", "later", "k")
    place.declare("new")
    place.bind("new", "later", "k")
    place.advance(1)
    assert (place.ready("q"), place.ready("new")) == (0, 1)


def test_it_delays_behind_other_exchanges_once(place: Place) -> None:
    place.vhost.bind_exchange("later", "amq.fanout", b"k", {})
    place.exchange("again", "x-delayed-message", table_of({"x-delayed-type": "fanout"}))
    place.vhost.bind_exchange("again", "later", b"k", {})
    place.declare("end")
    place.bind("end", "again")
    place.publish("amq.fanout", "k", {"x-delay": 1000})
    place.advance(1)
    assert (place.ready("q"), place.ready("end")) == (1, 1)


def test_an_expiration_begins_when_the_delay_ends(place: Place) -> None:
    place.publish("later", "k", {"x-delay": 5000}, expiration="100")
    place.advance(5)
    assert place.ready("q") == 1
    place.advance(0.2)
    assert place.ready("q") == 0


def test_an_expiration_of_nothing_does_not_end_the_delay(place: Place) -> None:
    place.declare("dead")
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    place.declare("r", arguments)
    place.bind("r", "later", "r")
    place.publish("later", "r", {"x-delay": 5000}, expiration="0")
    place.advance(5)
    assert (place.ready("r"), place.ready("dead")) == (0, 1)


def test_many_are_published_over_several_turns(place: Place) -> None:
    for _ in range(2500):
        place.publish("later", "k", {"x-delay": 1000})
    place.advance(1)
    assert place.ready("q") == 2500


def test_deleting_the_exchange_forgets_what_waits(place: Place) -> None:
    place.publish("later", "k", {"x-delay": 1000}, delivery_mode=2)
    place.vhost.delete_exchange("later")
    place.advance(1)
    assert place.ready("q") == 0
    delayed(place)
    place.advance(1)
    assert place.ready("q") == 0


def test_a_delayed_message_may_be_the_dead_letter_of_a_queue(place: Place) -> None:
    place.declare("r", {"x-dead-letter-exchange": "later", "x-dead-letter-routing-key": "k"})
    place.publish("", "r", {"x-delay": 1000})
    place.advance(10)  # the delay counts from when it came to the exchange
    work = place.vhost.queues["r"].work
    assert work is not None
    entry = work.get()
    assert entry is not None
    work.reject(entry)
    place.advance(0.5)
    assert place.ready("q") == 0
    place.advance(0.6)
    assert place.ready("q") == 1


# --- over a restart -----------------------------------------------------------------------------


def test_persistent_ones_wait_on_after_a_restart(place: Place) -> None:
    place.publish("later", "k", {"x-delay": 5000, "name": "kept"}, delivery_mode=2)
    place.publish("later", "k", {"x-delay": 5000, "name": "lost"})
    place.publish("later", "k", {"x-delay": 100_000}, delivery_mode=2, expiration="7")
    place.advance(2)
    place.restart()
    place.advance(2.9)
    assert place.ready("q") == 0
    place.advance(0.2)
    assert [headers["name"] for _, headers, _ in place.take("q")] == ["kept"]
    place.restart()
    place.advance(50)
    assert place.ready("q") == 0  # neither comes twice
    place.advance(45.0)
    assert place.ready("q") == 1


def test_what_became_due_meanwhile_comes_at_once(place: Place) -> None:
    place.publish("later", "k", {"x-delay": 5000}, delivery_mode=2)
    place.timers.wall_ms += 3_600_000
    place.restart()
    place.advance(0)
    assert place.ready("q") == 1


def test_a_message_is_kept_here_until_it_is_durable_where_it_goes() -> None:
    log = HeldLog()
    place = Place(log)
    place.sync = log.sync  # type: ignore[method-assign]
    delayed(place)
    place.publish("later", "k", {"x-delay": 1000}, delivery_mode=2)
    place.advance(0)

    def sync_all_but_the_target() -> None:
        for partition in list(log.partitions.values())[:-1]:
            partition.sync()

    place.sync = sync_all_but_the_target  # type: ignore[method-assign]
    place.advance(1)
    assert place.ready("q") == 1
    assert after_power_cut(place) == 1
    place.sync = log.sync  # type: ignore[method-assign]
    place.advance(0)
    assert after_power_cut(place) == 1  # and not twice


def after_power_cut(place: Place) -> int:
    """How many messages are in the queue once all that are left are due."""
    found = Place(place.log.survivor(power_cut=True))
    found.timers.advance(0.0, place.timers.wall_ms)
    found.advance(0)
    return found.ready("q")


def test_what_a_crash_left_of_a_deleted_exchange_is_deleted(place: Place) -> None:
    delayed_queue = place.vhost.exchange("later").delayed
    assert delayed_queue is not None
    name = delayed_queue.queue.work.name  # type: ignore[union-attr]
    delayed_queue.delete = lambda: None  # type: ignore[method-assign]
    place.vhost.delete_exchange("later")
    assert place.broker.work_queues.get(name) is not None
    place.restart()
    assert place.broker.work_queues.get(name) is None


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (Field("b", 5), 5),
        (Field("l", -5), -5),
        (Field("d", 5.9), 5),
        (Field("S", b"5000"), 5000),
        (Field("S", b"-5"), -5),
        (Field("S", b"5s"), 0),
        (Field("S", b""), 0),
        (Field("S", b"9" * 4000), 0),
        (Field("S", "\u0665".encode()), 0),
        (Field("t", True), 0),
        (Field("A", []), 0),
    ],
)
def test_a_delay_is_a_number_in_any_type(field: Field, expected: int) -> None:
    assert delay_ms({"x-delay": field}) == expected
    assert delay_ms({}) == 0
