"""Field tables and arrays (AMQP 0-9-1 section 4.2.5.5), with the types that RabbitMQ reads.

The type letters are those of RabbitMQ's and Qpid's errata, which is what clients use, and not those
of the specification's grammar: `s` is a 16 bit integer here and no short string, `l` and `L` both
are signed. A value keeps its letter, so that it is written as it was read.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple, TypeAlias

from hubbub.protocols.amqp.errors import syntax_error

# Tables in tables. Real ones are three deep (x-death); a frame could hold thousands.
MAX_DEPTH = 32

# RabbitMQ's names of the types, which its texts have.
TYPE_NAMES = {
    "t": "bool",
    "b": "byte",
    "B": "unsignedbyte",
    "s": "short",
    "u": "unsignedshort",
    "I": "signedint",
    "i": "unsignedint",
    "l": "long",
    "L": "long",
    "f": "float",
    "d": "double",
    "D": "decimal",
    "S": "longstr",
    "x": "binary",
    "A": "array",
    "T": "timestamp",
    "F": "table",
    "V": "void",
}


class Field(NamedTuple):
    """One value and the letter of its type.

    The values: bool for `t`; int for `b B s u I i l L` and seconds since 1970 for `T`; float for
    `f d`; Decimal for `D`; bytes for `S x`; a list of fields for `A`; a Table for `F`; None for `V`.
    """

    letter: str
    value: Any

    @property
    def type_name(self) -> str:
        """RabbitMQ's name of the type."""
        return TYPE_NAMES[self.letter]


class Decimal(NamedTuple):
    """`digits` divided by ten to the power of `places`: one unsigned byte, 32 unsigned bits."""

    places: int
    digits: int


# Names are text where they are UTF-8; other bytes are in it as surrogates (PEP 383). Where a peer
# says a name twice the first counts, as in RabbitMQ.
Table: TypeAlias = dict[str, Field]

_FIXED = {
    "t": struct.Struct(">?"),
    "b": struct.Struct(">b"),
    "B": struct.Struct(">B"),
    "s": struct.Struct(">h"),
    "u": struct.Struct(">H"),
    "I": struct.Struct(">i"),
    "i": struct.Struct(">I"),
    "l": struct.Struct(">q"),
    "L": struct.Struct(">q"),
    "f": struct.Struct(">f"),
    "d": struct.Struct(">d"),
    "T": struct.Struct(">Q"),
}
_DECIMAL = struct.Struct(">BI")
_VOID = Field("V", None)
_LONG = struct.Struct(">I")


# --- reading ------------------------------------------------------------------------------------


def decode_table(encoded: bytes | memoryview) -> Table:
    """The table whose entries these bytes are, without the size that precedes it.

    Raises:
        SyntaxFailure: it is cut off, nested too deep, or has a type that does not exist.
    """
    return _read_table(bytes(encoded), 0, len(encoded), 0)


def _read_table(data: bytes, at: int, end: int, depth: int) -> Table:
    table: Table = {}
    while at < end:
        name_end = at + 1 + data[at]
        if name_end >= end:
            raise _cut_off()
        name = data[at + 1 : name_end].decode("utf-8", "surrogateescape")
        field, at = _read_field(data, name_end, end, depth)
        table.setdefault(name, field)
    return table


def _read_array(data: bytes, at: int, end: int, depth: int) -> list[Field]:
    fields = []
    while at < end:
        field, at = _read_field(data, at, end, depth)
        fields.append(field)
    return fields


def _read_field(data: bytes, at: int, end: int, depth: int) -> tuple[Field, int]:
    """The field whose letter stands at ``at``, and where it ends."""
    letter = chr(data[at])
    at += 1
    fixed = _FIXED.get(letter)
    if fixed is not None:
        if at + fixed.size > end:
            raise _cut_off()
        [value] = fixed.unpack_from(data, at)
        # Erlang has no such numbers, and RabbitMQ reads none.
        if letter in "fd" and not math.isfinite(value):
            raise syntax_error("a number in a table is not finite")
        return Field(letter, value), at + fixed.size
    if letter == "V":
        return _VOID, at
    if letter == "D":
        if at + _DECIMAL.size > end:
            raise _cut_off()
        return Field(letter, Decimal(*_DECIMAL.unpack_from(data, at))), at + _DECIMAL.size
    if letter in "SxFA":
        return _read_sized(letter, data, at, end, depth)
    raise syntax_error(f"no such type in a table: 0x{data[at - 1]:02x}")


def _read_sized(letter: str, data: bytes, at: int, end: int, depth: int) -> tuple[Field, int]:
    at += _LONG.size
    if at > end:
        raise _cut_off()
    [size] = _LONG.unpack_from(data, at - _LONG.size)
    if size > end - at:
        raise _cut_off()
    if letter in "Sx":
        return Field(letter, data[at : at + size]), at + size
    if depth == MAX_DEPTH:
        raise syntax_error(f"a table is nested more than {MAX_DEPTH} deep")
    read = _read_table if letter == "F" else _read_array
    return Field(letter, read(data, at, at + size, depth + 1)), at + size


def _cut_off() -> Exception:
    return syntax_error("a table ends before its fields do")


# --- writing ------------------------------------------------------------------------------------


def encode_table(table: Table) -> bytes:
    """The entries of a table, without the size that precedes it.

    Raises:
        ValueError: a name is longer than 255 bytes, or a value does not fit its type.
    """
    out = bytearray()
    for name, field in table.items():
        out += short_string(name)
        _write_field(out, field)
    return bytes(out)


def _write_field(out: bytearray, field: Field) -> None:
    letter, value = field
    out += letter.encode()
    if letter in _FIXED:
        try:
            out += _FIXED[letter].pack(value)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{value!r} is no {TYPE_NAMES[letter]}") from error
    elif letter == "D":
        out += _DECIMAL.pack(*value)
    elif letter == "F":
        out += sized(encode_table(value))
    elif letter == "A":
        out += sized(_encode_array(value))
    elif letter != "V":
        out += sized(value)


def _encode_array(fields: list[Field]) -> bytes:
    out = bytearray()
    for field in fields:
        _write_field(out, field)
    return bytes(out)


def short_string(text: str) -> bytes:
    """A short string (section 4.2.5.3). Raises ValueError for more than 255 bytes."""
    raw = text.encode("utf-8", "surrogateescape")
    return bytes([len(raw)]) + raw


def sized(raw: bytes) -> bytes:
    """A long string (section 4.2.5.3), or a table or an array with its size."""
    return _LONG.pack(len(raw)) + raw


def field_of(value: Any) -> Field:
    """A field for a value of Python, with the type that RabbitMQ's own headers have.

    str and bytes become `S`, int `l`, float `d`, dict `F`, list and tuple `A`; a Field stays.
    """
    if isinstance(value, Field):
        return value
    if isinstance(value, str):
        return Field("S", value.encode("utf-8", "surrogateescape"))
    if isinstance(value, dict):
        return Field("F", table_of(value))
    if isinstance(value, list | tuple):
        return Field("A", [field_of(one) for one in value])
    return Field(_LETTERS[type(value)], value)


_LETTERS = {bytes: "S", bool: "t", int: "l", float: "d", type(None): "V"}


def table_of(values: dict[str, Any]) -> Table:
    """A table of values of Python, by `field_of`."""
    return {name: field_of(value) for name, value in values.items()}


def plain(field: Field) -> Any:
    """The value alone, inside too: strings that are UTF-8 as str, tables as dict, arrays as list."""
    letter, value = field
    if letter == "S":
        return value.decode("utf-8", "surrogateescape")
    if letter == "F":
        return {name: plain(one) for name, one in value.items()}
    if letter == "A":
        return [plain(one) for one in value]
    return value
