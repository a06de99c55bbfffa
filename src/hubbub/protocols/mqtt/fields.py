"""Data representations (MQTT 5 section 1.5): reading them from a packet, and writing them."""

from __future__ import annotations

from hubbub.protocols.mqtt.reasons import malformed

MAX_STRING_BYTES = 65_535
MAX_VARIABLE = 268_435_455
_VARIABLE_BYTES = 4


class Reader:
    """Reads one packet's bytes from the front. Every method raises MqttError where they are not right."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = at
        self._end = len(data) if end is None else end

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return self._end - self._at

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        if size > self.left:
            raise malformed("a packet ends before its fields do")
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def part(self, size: int) -> Reader:
        """A reader of the next ``size`` bytes alone."""
        start = self._at
        self.take(size)
        return Reader(self._data, start, self._at)

    def byte(self) -> int:
        """One byte (1.5.1)."""
        return self.take(1)[0]

    def integer(self, size: int) -> int:
        """A Two or Four Byte Integer (1.5.2, 1.5.3)."""
        return int.from_bytes(self.take(size))

    def variable(self) -> int:
        """A Variable Byte Integer (1.5.5)."""
        value = 0
        for index in range(_VARIABLE_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                # [MQTT-1.5.5-1] as few bytes as the value needs.
                if byte == 0 and index:
                    break
                return value
        raise malformed("a variable byte integer is too long")

    def string(self) -> str:
        """A UTF-8 Encoded String (1.5.4)."""
        return text_of(self.binary())

    def binary(self) -> bytes:
        """Binary Data (1.5.6)."""
        return self.take(self.integer(2))

    def finish(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise malformed("a packet is longer than its fields")


def text_of(raw: bytes) -> str:
    """The text; surrogates and NUL have no place in it [MQTT-1.5.4-1, MQTT-1.5.4-2]."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise malformed("a string is not UTF-8") from error
    if "\0" in text:
        raise malformed("a string has no NUL")
    return text


def variable(value: int) -> bytes:
    """A Variable Byte Integer."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def binary(raw: bytes) -> bytes:
    """Binary Data, or a UTF-8 Encoded String that is encoded already."""
    return len(raw).to_bytes(2) + raw


def string(text: str) -> bytes:
    """A UTF-8 Encoded String."""
    return binary(text.encode())
