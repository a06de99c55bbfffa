"""Reading a partition from front to back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.log import batch
from hubbub.model.errors import CorruptLogError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.log.batch import RawRecord
    from hubbub.log.seam import PartitionLog

# One read: large enough that its fixed cost vanishes, small enough to hold in memory unnoticed.
READ_BYTES = 1024 * 1024


def read_all(log: PartitionLog) -> Iterator[RawRecord]:
    """Every readable durable record; a corrupt range, which the log has reported, is passed over."""
    offset = log.start_offset
    while offset < log.durable_offset:
        try:
            data = log.read(offset, READ_BYTES)
        except CorruptLogError as damage:
            offset = damage.next_good
            continue
        if not data:
            return
        yield from (record for record in batch.decode(data) if record.offset >= offset)
        offset = batch.scan(data, check_crc=False)[-1].next_offset
