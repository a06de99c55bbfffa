"""Stored batches back into messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from hubbub.log.records import decode_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.partition import Partition
    from hubbub.broker.topics import Catalogue
    from hubbub.model.message import Record

    RecordDecoder: TypeAlias = Callable[[bytes, Partition], list[Record]]


def record_decoder(topics: Catalogue) -> RecordDecoder:
    """A decoder that believes a record's address only where its topic captures that address.

    The header that holds the address is ours, but a Kafka client stores what headers it likes.
    """

    def decode(data: bytes, partition: Partition) -> list[Record]:
        topic = partition.topic
        return [
            record
            if record.message.address == topic.name
            or topic in topics.capturing.route(record.message.address)
            else _at_home(record)
            for record in decode_records(data, topic.name, partition.index)
        ]

    return decode


def _at_home(record: Record) -> Record:
    message = msgspec.structs.replace(record.message, address=record.topic)
    return msgspec.structs.replace(record, message=message)
