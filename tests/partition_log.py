"""A partition that a test syncs, or fails, when it wants to."""

from __future__ import annotations

import msgspec

from hubbub.broker.state import STATE_SETTINGS
from hubbub.log.memory import MemoryPartition
from hubbub.log.reader import read_all
from hubbub.log.waiting import Waiting


class HandSyncedLog(MemoryPartition):
    """In memory, and durable only when ``sync`` says so unless it always does."""

    def __init__(self, *, sync_at_once=True):
        super().__init__(STATE_SETTINGS)
        self.sync_at_once = sync_at_once
        self._failure = None
        self._synced = 0
        self._unsynced = Waiting()

    @property
    def durable_offset(self):
        return self._synced

    def append(self, batch, now_ms):
        if self._failure is not None:
            raise self._failure
        appended = super().append(batch, now_ms)
        if self.sync_at_once:
            self.sync()
        return appended

    def when_durable(self, offset, done):
        if offset <= self._synced:
            done(None)
        else:
            self._unsynced.add(offset, done)

    def sync(self):
        self._synced = self.end_offset
        self._unsynced.reached(self._synced)

    def fail(self, failure):
        self._failure = failure
        self._unsynced.failed(failure)

    def limit_batches(self, size):
        self.settings = msgspec.structs.replace(self.settings, max_message_bytes=size)

    def records(self):
        return list(read_all(self))
