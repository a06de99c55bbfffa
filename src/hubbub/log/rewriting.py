"""Closed segments written anew by compaction, several into one where they fit.

The new file takes the name of the first by an atomic rename, and is durable before the others go.
A crash in between leaves segments whose offsets the one before them holds too: recovery knows these.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hubbub.log.batch import scan
from hubbub.log.files import TEMPORARY_SUFFIX, read_file
from hubbub.log.index import SegmentIndex, decode_index
from hubbub.log.segment import Segment
from hubbub.model.errors import CorruptBatchError

if TYPE_CHECKING:
    from pathlib import Path

    from hubbub.log.compaction import Compaction

# Written at once: a system call per batch would dominate.
_WRITE_BYTES = 1024 * 1024


def groups(segments: list[Segment], segment_bytes: int) -> list[list[Segment]]:
    """Neighbours that fit into one segment even before they shrink; damaged ones stay alone."""
    found: list[list[Segment]] = []
    room = 0
    for segment in segments:
        if found and segment.size <= room and not segment.damages and not found[-1][0].damages:
            found[-1].append(segment)
            room -= segment.size
        else:
            found.append([segment])
            room = segment_bytes - segment.size
    return found


def rewrite(group: list[Segment], compaction: Compaction) -> Segment:
    """One segment in place of the group.

    Raises: OSError and CorruptBatchError, with the group as it was.
    """
    first, last = group[0], group[-1]
    if first.damages:  # evidence stays as it is
        return first
    directory = first.directory
    temporary = first.path.with_name(first.path.name + TEMPORARY_SUFFIX)
    try:
        index = _write(group, compaction, temporary)
        if len(group) == 1 and index.size == first.size:
            directory.filesystem.unlink(temporary)
            return first
        producers = _producers_of(last)
        # An index must never meet a segment that it was not made for.
        directory.filesystem.unlink(directory.index_path(first.base_offset))
        directory.sync()
        directory.filesystem.rename(temporary, first.path)
    except (OSError, CorruptBatchError):
        with suppress(OSError):  # a full disk needs the space now, not at the next start
            directory.filesystem.unlink(temporary)
        raise
    with suppress(OSError):  # from here on the new segment is the truth, whatever fails
        directory.sync()
        for segment in reversed(group[1:]):
            directory.remove_segment(segment.base_offset)
        directory.sync()
        if producers is not None:
            directory.write_index(first.base_offset, index.encode(producers))
    merged = Segment(directory, first.base_offset)
    merged.index = index
    return merged


def _write(group: list[Segment], compaction: Compaction, path: Path) -> SegmentIndex:
    files = group[0].directory.filesystem
    index = SegmentIndex(group[0].base_offset)
    pending = bytearray()
    files.unlink(path)
    handle = files.open_append(path)
    try:
        for segment in group:
            for data, info in segment.each_batch():
                # The last one says where the offsets of the segment end.
                is_last = info.next_offset == group[-1].next_offset
                smaller = compaction.compact(data, info, keep_empty=is_last)
                if smaller:
                    pending += smaller
                    index.note(scan(smaller, check_crc=False), -1)
                if len(pending) >= _WRITE_BYTES:
                    files.append(handle, bytes(pending))
                    pending.clear()
        files.append(handle, bytes(pending))
        files.sync(handle)
    finally:
        files.close(handle)
    index.first_ms = group[0].index.first_ms
    index.newest_ms = max(segment.index.newest_ms for segment in group)
    return index


def _producers_of(segment: Segment) -> bytes | None:
    """The producers as of the segment's end, as far as they were stored."""
    path = segment.directory.index_path(segment.base_offset)
    data = read_file(segment.directory.filesystem, path)
    found = decode_index(data, segment.base_offset, segment.size) if data is not None else None
    return found[1] if found else None
