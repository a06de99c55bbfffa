"""Payloads and messages of the Python API, durations, and handlers that remember."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub import Broker, MemoryStore, Message, SqliteStore, event_id, idempotent
from hubbub.broker.tail import FromOffset, FromTime
from hubbub.bus import payload
from hubbub.bus.durations import milliseconds, start_of
from hubbub.model.errors import InvalidSettingsError
from hubbub.protocols.bus.codec import Place


@dataclasses.dataclass
class Order:
    id: int
    total: float


class Line(msgspec.Struct):
    sku: str


class Colour(enum.Enum):
    RED = "red"


class Model:
    """What pydantic's models have."""

    def __init__(self, text):
        self.text = text

    def model_dump_json(self):
        return f'{{"text":"{self.text}"}}'

    @classmethod
    def model_validate_json(cls, value):
        return cls(msgspec.json.decode(value)["text"])


@pytest.mark.parametrize(
    ("given_", "value", "content_type"),
    [
        (None, None, None),
        (b"\xff", b"\xff", None),
        (bytearray(b"x"), b"x", None),
        (memoryview(b"x"), b"x", None),
        ("grüße", "grüße".encode(), "text/plain"),
        ({"a": [1, None]}, b'{"a":[1,null]}', "application/json"),
        (3, b"3", "application/json"),
        (True, b"true", "application/json"),
        (Order(1, 2.5), b'{"id":1,"total":2.5}', "application/json"),
        (Line("x"), b'{"sku":"x"}', "application/json"),
        (Colour.RED, b'"red"', "application/json"),
        (Model("hi"), b'{"text":"hi"}', "application/json"),
    ],
)
def test_a_payload_travels_as_bytes_and_a_content_type(given_, value, content_type):
    assert payload.encode(given_) == (value, content_type)


def test_what_has_no_form_in_json_is_refused():
    with pytest.raises(TypeError):
        payload.encode(object())


@pytest.mark.parametrize(
    ("value", "content_type", "meaning"),
    [
        (b"1", "application/json", 1),
        (b"1", "Application/JSON; charset=utf-8", 1),
        (b"1", "text/csv", "1"),
        (b"1", None, b"1"),
        (b"1", "image/png", b"1"),
        (None, "application/json", None),
    ],
)
def test_bytes_mean_what_their_content_type_says(value, content_type, meaning):
    assert payload.decode(value, content_type) == meaning


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
).filter(lambda value: value is not None and not isinstance(value, str))


@given(JSON)
def test_what_json_can_say_comes_back_as_it_was(value):
    assert payload.decode(*payload.encode(value)) == value


def received(value, content_type=None, **slots):
    return Message("t", _value=value, _content_type=content_type, **slots)


def test_a_message_is_decoded_as_the_type_that_is_asked_for():
    message = received(b'{"id":1,"total":2.5}')
    assert message.decode(Order) == Order(1, 2.5)
    assert message.decode(type=dict[str, float]) == {"id": 1, "total": 2.5}
    assert received(b'{"text":"hi"}').decode(Model).text == "hi"
    with pytest.raises(ValueError, match="sku"):
        message.decode(Line)


def test_an_object_of_the_asked_type_is_not_encoded_for_it():
    order = Order(1, 2.5)
    assert Message("t", order).decode(Order) is order


def test_text_and_json_of_what_is_neither_are_value_errors():
    message = received(b"\xff{")
    with pytest.raises(ValueError, match="decode"):
        _ = message.text
    with pytest.raises(ValueError, match="malformed"):
        message.json()
    assert message.payload == b"\xff{"
    assert received(None).text == ""


def test_an_unknown_slot_is_a_type_error():
    with Broker() as broker, pytest.raises(TypeError, match="kye"):
        broker.publish("t", b"x", kye="typing error")


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("500ms", 500),
        ("90s", 90_000),
        ("15m", 900_000),
        ("1.5h", 5_400_000),
        ("7d", 604_800_000),
        ("2 w", 1_209_600_000),
        (2, 2000),
        (0.25, 250),
        (timedelta(minutes=1), 60_000),
    ],
)
def test_durations_are_written_as_people_do(duration, expected):
    assert milliseconds(duration) == expected


@pytest.mark.parametrize("text", ["", "soon", "1", "1y", "-1s", "1h30m", "\u0661s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(InvalidSettingsError):
        milliseconds(text)


def test_starts_are_words_offsets_moments_and_spans():
    assert start_of("beginning") == "beginning"
    assert start_of(7) == FromOffset(7)
    assert start_of(datetime(1970, 1, 2, tzinfo=UTC)) == FromTime(86_400_000)
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert abs(start_of("1h").timestamp_ms - hour_ago.timestamp() * 1000) < 60_000
    with pytest.raises(InvalidSettingsError):
        start_of("yesterday")


# Idempotent handlers


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryStore()
        return
    opened = SqliteStore(tmp_path / "handled.db")
    yield opened
    opened.close()


def test_a_message_is_handled_once_however_often_it_comes(store):
    handled = []
    handle = idempotent(store)(lambda message: handled.append(message.value))
    for _ in range(3):
        handle(received(b"x", message_id="a"))
        handle(received(b"y", _place=Place("t", 0, 7)))
    handle(received(b"z", _place=Place("t", 1, 7)))
    assert handled == [b"x", b"y", b"z"]


def test_a_message_that_its_handler_failed_on_is_handled_again(store):
    attempts = []

    @idempotent(store)
    def handle(message):
        attempts.append(message)
        if len(attempts) == 1:
            raise RuntimeError
        return "done"

    message = received(b"x", message_id="a")
    with pytest.raises(RuntimeError):
        handle(message)
    assert handle(message) == "done"
    assert handle(message) is None
    assert len(attempts) == 2


def test_coroutines_remember_too(store):
    handled = []

    @idempotent(store)
    async def handle(message):
        handled.append(message)

    async def main():
        for _ in range(2):
            await handle(received(b"x", message_id="a"))

    asyncio.run(main())
    assert len(handled) == 1


def test_sqlite_remembers_over_a_restart(tmp_path):
    for _ in range(2):
        store = SqliteStore(tmp_path / "handled.db", "done")
        handled = []
        idempotent(store)(handled.append)(received(b"x", message_id="a"))
        store.close()
    assert handled == []
    with pytest.raises(ValueError, match="no name"):
        SqliteStore(tmp_path / "x.db", "a; DROP TABLE b")


def test_memory_forgets_the_oldest():
    store = MemoryStore(size=2)
    for event in "abc":
        store.add(event)
    assert ["a" in store, "b" in store, "c" in store] == [False, True, True]


def test_a_live_message_without_an_id_cannot_be_told_from_another():
    with pytest.raises(ValueError, match="no id"):
        event_id(received(b"x"))


def test_a_redelivered_message_keeps_its_id():
    ids = []
    with Broker() as broker:
        subscription = broker.subscribe("t", group="g")
        broker.publish("t", b"x")
        for _ in range(2):
            message = subscription.get(10)
            ids.append(event_id(message))
            message.nack(delay=0)
    assert ids == ["t/0/0", "t/0/0"]


def test_an_object_that_is_called_as_a_coroutine_remembers_what_it_finished(store):
    handled = []

    class Handler:
        async def __call__(self, message):
            handled.append(message)
            if len(handled) == 1:
                raise RuntimeError

    handle = idempotent(store)(Handler())

    async def main():
        message = received(b"x", message_id="a")
        with pytest.raises(RuntimeError):
            await handle(message)
        await handle(message)
        await handle(message)

    asyncio.run(main())
    assert len(handled) == 2
