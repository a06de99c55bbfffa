"""Hypothesis strategies for what AMQP methods, tables and properties are made of."""

from __future__ import annotations

from hypothesis import strategies as st

from hubbub.protocols.amqp.methods import BASIC_PROPERTIES
from hubbub.protocols.amqp.properties import Properties
from hubbub.protocols.amqp.tables import Decimal, Field


def integers(bits, *, signed=False):
    return (
        st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)
        if signed
        else st.integers(0, (1 << bits) - 1)
    )


def text_of(raw):
    return raw.decode("utf-8", "surrogateescape")


# Any bytes that a short string can have.
ANY_NAMES = st.binary(max_size=255).map(text_of)
# What pamqp has as text, and its names in tables, which it cuts to 128 bytes.
STRINGS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
UTF8_NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=63)


def of(letter, values):
    return values.map(lambda value: Field(letter, value))


SCALARS = st.one_of(
    of("t", st.booleans()),
    of("b", integers(8, signed=True)),
    of("B", integers(8)),
    of("s", integers(16, signed=True)),
    of("u", integers(16)),
    of("I", integers(32, signed=True)),
    of("i", integers(32)),
    of("l", integers(64, signed=True)),
    of("L", integers(64, signed=True)),
    of("f", st.floats(width=32, allow_nan=False, allow_infinity=False)),
    of("d", st.floats(allow_nan=False, allow_infinity=False)),
    of("D", st.builds(Decimal, integers(8), integers(32))),
    of("S", st.binary(max_size=300)),
    of("x", st.binary(max_size=300)),
    of("T", integers(64)),
    st.just(Field("V", None)),
)
FIELDS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        of("A", st.lists(inner, max_size=4)),
        of("F", st.dictionaries(ANY_NAMES, inner, max_size=4)),
    ),
    max_leaves=10,
)
TABLES = st.dictionaries(ANY_NAMES, FIELDS, max_size=5)


def values_of(kind, names):
    return {
        "bit": st.booleans(),
        "octet": integers(8),
        "short": integers(16),
        "long": integers(32),
        "longlong": integers(64),
        "timestamp": integers(64),
        "shortstr": names,
        "longstr": st.binary(max_size=300),
        "table": TABLES,
    }[kind]


def arguments_of(spec):
    """Keyword arguments for one method."""
    names = ANY_NAMES if spec.content else UTF8_NAMES
    return st.fixed_dictionaries({name: values_of(kind, names) for name, kind in spec.fields})


PROPERTIES = st.builds(
    Properties,
    **{name: st.none() | values_of(kind, ANY_NAMES) for name, kind in BASIC_PROPERTIES},
)
