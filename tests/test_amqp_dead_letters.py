"""Dead letters: where they go, the story they carry, and the circles they do not run in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_vhost import WALL_MS, Place, properties
from held_log import HeldLog
from hubbub.broker.work_item import Item
from hubbub.model.address import Address
from hubbub.model.message import Message
from hubbub.protocols.amqp.dead_letters import MAX_DEATHS, is_cycle, record_death
from hubbub.protocols.amqp.mapping import mark_of
from hubbub.protocols.amqp.marks import Mark, decode_mark
from hubbub.protocols.amqp.properties import NONE
from hubbub.protocols.amqp.tables import Table, table_of

SECONDS = WALL_MS // 1000


@pytest.fixture
def place() -> Place:
    place = Place()
    place.exchange("dlx", "topic", durable=True)
    place.declare("graveyard")
    place.bind("graveyard", "dlx", "#")
    return place


def reject(place: Place, queue: str) -> None:
    work = place.vhost.queues[queue].work
    assert work is not None
    entry = work.get()
    assert entry is not None
    work.reject(entry)
    place.advance(0)


def test_what_is_rejected_goes_to_the_exchange_with_its_story(place: Place) -> None:
    place.declare("q", {"x-dead-letter-exchange": "dlx"})
    place.bind("q", "amq.topic", "a.*")
    place.publish(
        "amq.topic", "a.b", {"mine": 1}, content_type="text/plain", delivery_mode=2, priority=3
    )
    reject(place, "q")
    [(mark, headers, decoded)] = place.take("graveyard")
    assert (mark.exchange, mark.key) == (b"dlx", b"a.b")
    assert (decoded.content_type, decoded.delivery_mode, decoded.priority) == ("text/plain", 2, 3)
    assert headers == {
        "mine": 1,
        "x-death": [
            {
                "count": 1,
                "reason": "rejected",
                "queue": "q",
                "time": SECONDS,
                "exchange": "amq.topic",
                "routing-keys": ["a.b"],
            }
        ],
        "x-first-death-reason": "rejected",
        "x-first-death-queue": "q",
        "x-first-death-exchange": "amq.topic",
        "x-last-death-reason": "rejected",
        "x-last-death-queue": "q",
        "x-last-death-exchange": "amq.topic",
    }


def test_the_types_in_the_story_are_rabbitmqs(place: Place) -> None:
    place.declare("q", {"x-dead-letter-exchange": "dlx"})
    place.publish("", "q")
    reject(place, "q")
    [(_, _, decoded)] = place.take("graveyard")
    assert decoded.headers is not None
    [death] = decoded.headers["x-death"].value
    assert {name: field.letter for name, field in death.value.items()} == {
        "count": "l",
        "reason": "S",
        "queue": "S",
        "time": "T",
        "exchange": "S",
        "routing-keys": "A",
    }


def test_a_queue_may_name_another_key(place: Place) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "graveyard"}
    place.declare("q", arguments)
    place.publish("", "q", {"CC": ["elsewhere"]})
    reject(place, "q")
    [(mark, headers, _)] = place.take("graveyard")
    assert (mark.exchange, mark.key) == (b"", b"graveyard")
    assert headers["x-death"][0]["routing-keys"] == ["q", "elsewhere"]
    assert "CC" not in headers  # else it would be sent there, too, when it dies again


def test_without_another_key_the_copies_go_where_they_went(place: Place) -> None:
    place.declare("other")
    place.bind("other", "amq.direct", "copy")
    place.declare("q", {"x-dead-letter-exchange": "amq.direct"})
    place.publish("", "q", {"CC": ["copy"]})
    reject(place, "q")
    [(_, headers, _)] = place.take("other")
    assert headers["CC"] == ["copy"]


def test_what_expired_goes_without_its_expiration_which_is_in_the_story(place: Place) -> None:
    place.declare("q", {"x-dead-letter-exchange": "dlx"})
    place.publish("", "q", expiration="50")
    place.advance(0.06)
    [(_, headers, decoded)] = place.take("graveyard")
    assert decoded.expiration is None
    assert headers["x-death"][0]["reason"] == "expired"
    assert headers["x-death"][0]["original-expiration"] == "50"
    assert place.ready("q") == 0


def test_the_expiration_that_it_had_does_not_end_it_again(place: Place) -> None:
    place.declare("q", {"x-dead-letter-exchange": "dlx"})
    place.publish("", "q", expiration="50")
    place.advance(0.06)
    place.advance(10)
    assert place.ready("graveyard") == 1


def test_what_is_too_much_goes_from_the_head(place: Place) -> None:
    place.declare("q", {"x-dead-letter-exchange": "dlx", "x-max-length": 1})
    place.publish("", "q", value=b"old")
    place.publish("", "q", value=b"new")
    [(_, headers, _)] = place.take("graveyard")
    assert headers["x-death"][0]["reason"] == "maxlen"
    assert place.ready("q") == 1


def test_what_is_refused_goes_there_if_the_queue_says_so(place: Place) -> None:
    for name, overflow in (("q", "reject-publish"), ("r", "reject-publish-dlx")):
        arguments = {"x-dead-letter-exchange": "dlx", "x-max-length": 1, "x-overflow": overflow}
        place.declare(name, arguments)
        assert place.publish("", name) == 1
        assert place.publish("", name) == 0
    [(_, headers, _)] = place.take("graveyard")
    assert headers["x-death"][0]["queue"] == "r"
    assert headers["x-death"][0]["reason"] == "maxlen"


def test_what_came_back_too_often_goes(place: Place) -> None:
    place.declare(
        "q",
        {"x-queue-type": "quorum", "x-dead-letter-exchange": "dlx", "x-delivery-limit": 1},
        durable=True,
    )
    place.publish("", "q")
    work = place.vhost.queues["q"].work
    assert work is not None
    for _ in range(2):
        entry = work.get()
        assert entry is not None
        work.give_back(entry, True)
        place.advance(0)
    [(_, headers, _)] = place.take("graveyard")
    assert headers["x-death"][0]["reason"] == "delivery_limit"


def test_an_exchange_that_is_not_there_drops_them(place: Place) -> None:
    place.declare("q", {"x-dead-letter-exchange": "nowhere"})
    place.publish("", "q")
    reject(place, "q")
    assert place.ready("q") == 0


# --- the story ----------------------------------------------------------------------------------


def test_the_same_death_is_counted_and_comes_to_the_front(place: Place) -> None:
    place.declare("q", {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "wait"})
    wait = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q", "x-message-ttl": 1000}
    place.declare("wait", wait)
    place.publish("", "q")
    for _ in range(3):
        reject(place, "q")
        place.advance(1)
    reject(place, "q")
    [(_, headers, _)] = place.take("wait")
    deaths = [(each["queue"], each["reason"], each["count"]) for each in headers["x-death"]]
    assert deaths == [("q", "rejected", 4), ("wait", "expired", 3)]
    assert headers["x-death"][0]["time"] == SECONDS
    assert headers["x-death"][0]["exchange"] == ""
    assert headers["x-first-death-queue"] == "q"
    assert headers["x-last-death-queue"] == "q"


def test_the_first_death_stays_the_first(place: Place) -> None:
    place.declare("q", {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "r"})
    place.declare("r", {"x-dead-letter-exchange": "dlx", "x-message-ttl": 1000})
    place.bind("q", "amq.direct", "k")
    place.publish("amq.direct", "k")
    reject(place, "q")
    place.advance(1)
    [(_, headers, _)] = place.take("graveyard")
    story = [headers[f"x-first-death-{what}"] for what in ("reason", "queue", "exchange")]
    assert story == ["rejected", "q", "amq.direct"]
    story = [headers[f"x-last-death-{what}"] for what in ("reason", "queue", "exchange")]
    assert story == ["expired", "r", ""]


DEATHS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["rejected", "expired", "maxlen"])),
    min_size=1,
    max_size=20,
)


@given(DEATHS)
def test_there_is_one_entry_for_each_queue_and_reason_latest_first(
    deaths: list[tuple[str, str]],
) -> None:
    headers: Table = {}
    for queue, reason in deaths:
        found = record_death(headers, table_of({"count": 1, "queue": queue, "reason": reason}))
    story = [
        (each.value["queue"].value.decode(), each.value["reason"].value.decode()) for each in found
    ]
    assert story == list(dict.fromkeys(reversed(deaths)))
    counts = [each.value["count"].value for each in found]
    assert counts == [deaths.count(each) for each in story]
    for queue in "abc":
        rejected = [at for at, (_, reason) in enumerate(story) if reason == "rejected"]
        at = [at for at, (name, _) in enumerate(story) if name == queue]
        expected = bool(at) and (not rejected or at[0] < rejected[0])
        assert is_cycle(queue, found) is expected


@pytest.mark.parametrize(
    "story",
    [
        "none",
        [],
        [1],
        [{}],
        [{"queue": "q", "reason": "rejected"}],
        [{"queue": "q", "reason": "rejected", "count": "many"}],
        [{"queue": "q", "reason": "rejected", "count": 2**63 - 1}],
    ],
)
def test_a_story_that_a_client_made_up_does_no_harm(place: Place, story: Any) -> None:
    place.declare("q", {"x-dead-letter-exchange": "dlx"})
    place.publish("", "q", {"x-death": story})
    reject(place, "q")
    [(_, headers, _)] = place.take("graveyard")
    assert headers["x-death"][0]["queue"] == "q"
    assert isinstance(headers["x-death"][0]["count"], int)


def test_a_letter_whose_properties_are_none_goes_without_them_and_is_told_of_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    queue = place.declare("q", {"x-dead-letter-exchange": "dlx"})
    for broken in (b"", b"\x20\x00\x00\x00\x00\x09", NONE + b"x"):
        queue.put(Item(b"", Mark(b"", b"q", broken).encode()))
        place.advance(0)
        reject(place, "q")
    for _, headers, _ in letters(place, 3):
        assert headers["x-death"][0]["queue"] == "q"
    assert len(caplog.records) == 1


def test_a_letter_whose_headers_are_none_keeps_its_other_properties(place: Place) -> None:
    queue = place.declare("q", {"x-dead-letter-exchange": "dlx"})
    broken = b"\xa0\x00" + b"\4text" + b"\0\0\0\2\5a"
    queue.put(Item(b"", Mark(b"", b"q", broken).encode()))
    place.advance(0)
    reject(place, "q")
    [(_, headers, decoded)] = letters(place, 1)
    assert (decoded.content_type, headers["x-death"][0]["count"]) == ("text", 1)


def test_a_header_of_others_that_is_called_cc_costs_no_letter(place: Place) -> None:
    queue = place.declare("q", {"x-dead-letter-exchange": "dlx"})
    message = Message(Address("a"), b"", headers=(("CC", b"text"),))
    queue.put(Item(b"", mark_of(message, persistent=False)))
    place.advance(0)
    reject(place, "q")
    [(_, headers, _)] = letters(place, 1)
    assert headers["CC"] == "text"


def letters(place: Place, count: int) -> list[Any]:
    found = list(place.take("graveyard"))
    assert len(found) == count
    return found


# --- circles ------------------------------------------------------------------------------------


def test_what_comes_back_all_by_itself_is_dropped(place: Place) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        place.declare(
            name,
            {
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": other,
                "x-message-ttl": 1000,
            },
        )
    place.publish("", "a")
    place.advance(1)
    assert (place.ready("a"), place.ready("b")) == (0, 1)
    place.advance(1)
    assert (place.ready("a"), place.ready("b")) == (0, 0)


def test_what_a_client_rejected_may_come_back(place: Place) -> None:
    place.declare("q", {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q"})
    place.publish("", "q")
    for _ in range(5):
        reject(place, "q")
        assert place.ready("q") == 1


def test_only_the_queues_that_it_came_from_are_left_out(place: Place) -> None:
    place.declare("q", {"x-dead-letter-exchange": "dlx", "x-message-ttl": 1000})
    place.bind("q", "dlx", "#")
    place.publish("", "q")
    place.advance(1)
    assert (place.ready("q"), place.ready("graveyard")) == (0, 1)


def full_chain(place: Place, length: int) -> None:
    for number in range(length):
        place.declare(
            f"c{number}",
            {
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": f"c{number + 1}",
                "x-max-length": 0,
                "x-overflow": "reject-publish-dlx",
            },
        )
    place.declare(f"c{length}")


def test_a_long_way_of_full_queues_is_gone_step_by_step(place: Place) -> None:
    full_chain(place, MAX_DEATHS)
    place.publish("", "c0")
    [(_, headers, _)] = place.take(f"c{MAX_DEATHS}")
    assert len(headers["x-death"]) == MAX_DEATHS


def test_a_way_that_is_too_long_is_taken_for_a_circle(place: Place) -> None:
    full_chain(place, MAX_DEATHS + 1)
    place.publish("", "c0")
    assert place.ready(f"c{MAX_DEATHS + 1}") == 0


# --- over a restart -----------------------------------------------------------------------------


def test_a_dead_letter_is_stored_before_it_is_gone_where_it_died() -> None:
    log = HeldLog()
    place = Place(log)
    place.declare("graveyard", durable=True)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "graveyard"}
    place.declare("q", arguments, durable=True)
    place.publish("", "q", delivery_mode=2)
    log.sync()
    reject(place, "q")
    cut = Place(log.survivor(power_cut=True))
    assert cut.ready("q") + cut.ready("graveyard") == 1
    log.sync()
    place.advance(0)
    log.sync()
    again = Place(log.survivor(power_cut=True))
    assert (again.ready("q"), again.ready("graveyard")) == (0, 1)
    [(mark, headers, _)] = again.take("graveyard")
    assert mark.key == b"graveyard"
    assert headers["x-death"][0]["queue"] == "q"


def test_dead_letters_go_on_after_a_restart(place: Place) -> None:
    place.declare("keeper", durable=True)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "keeper"}
    place.declare("q", arguments, durable=True)
    place.publish("", "q", delivery_mode=2)
    place.restart()
    reject(place, "q")
    assert place.ready("keeper") == 1


def test_a_mark_is_what_it_was_made_of() -> None:
    mark = Mark(b"x", b"", properties({"a": 1}))
    assert decode_mark(mark.encode()) == mark
