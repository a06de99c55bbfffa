# cython: language_level=3, boundscheck=False, wraparound=False
"""Runs into the topics that capture them: one batch for each partition, however many the messages.

The topic of an address's name, else the first that captures it, is its home and decides whether a
message is taken. What others refuse by their settings is their own affair.
"""

from hubbub.broker.routes cimport Route
from hubbub.broker.run cimport AT_MOST_ONCE, View, is_plain
from hubbub.log.builder cimport BatchBuilder
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t

import logging

from hubbub.broker.publication import Stored
from hubbub.log.builder import encode_headers, record_room
from hubbub.log.records import ADDRESS_HEADER, MARK_HEADER, parts_of
from hubbub.model.errors import HubbubError, MissingKeyError, StorageError

logger = logging.getLogger(__name__)

cdef bytes NO_HEADERS = encode_headers(())


class _Address:
    """Where a topic has another name, the header that says an address (see ``Route.spelled``)."""

    @staticmethod
    def spelled(address):
        return encode_headers([(ADDRESS_HEADER, address.encode())])


cdef object ADDRESS = _Address()


cdef class _Batch:
    """What is on its way to one partition."""

    cdef object partition
    cdef BatchBuilder builder
    cdef list indexes       # of the messages in it


cdef class Storing:
    """Appends messages of one run; ``refused`` says of a message's place why it was not taken."""

    def __init__(self, Run run not None, int64_t now_ms, list stored not None):
        self._run = run
        self._now_ms = now_ms
        self._stored = stored
        self._open = {}
        self.refused = {}

    cdef int put(self, Py_ssize_t index, object topic) except -1:
        """Store the message at ``index`` in the topic, now or with those that follow."""
        cdef View* view = &self._run.views[index]
        cdef const uint8_t* key = view.key
        cdef Py_ssize_t key_size = view.key_size
        cdef bytes raw, mark = None
        if topic.queued:
            if view.qos == AT_MOST_ONCE:
                return 0  # nobody waits for it
            mark = self._run.origin.mark(view, self._run.source)
        message = None
        if not is_plain(view):
            message = self._run.origin.message(view)
            raw = message.key
            key = NULL if raw is None else <const uint8_t*>PyBytes_AS_STRING(raw)
            key_size = -1 if raw is None else len(raw)
        if key_size < 0 and topic.settings.compact:
            self.refused[index] = MissingKeyError("a record of a compacted topic has a key")
            return 0
        partition = topic.partitions[(<Route>view.route).partition(
            key, key_size, len(topic.partitions))]
        if message is None:
            self._put_plain(index, topic, partition, mark)
        else:
            self._put_message(index, topic, partition, message, mark)
        return 0

    cdef int _put_plain(self, Py_ssize_t index, object topic, object partition,
                        bytes mark) except -1:
        cdef View* view = &self._run.views[index]
        cdef Route route = <Route>view.route
        cdef bytes headers = NO_HEADERS if route.address == topic.name else route.spelled(ADDRESS)
        cdef _Batch batch
        if mark is not None:
            headers = encode_headers([
                (ADDRESS_HEADER, route.address.encode()), (MARK_HEADER, mark)])
        found = self._open.get(partition)
        if found is not None:
            room = record_room(view.key_size, view.value_size) + len(headers)
            if (<_Batch>found).builder.size + room > topic.settings.max_message_bytes:
                self._append(found)
                found = None
        batch = <_Batch>(self._begin(partition, view.timestamp_ms) if found is None else found)
        batch.indexes.append(index)
        return batch.builder.add(
            view.timestamp_ms, view.key, view.key_size, view.value, view.value_size, headers)

    cdef int _put_message(self, Py_ssize_t index, object topic, object partition,
                          object message, bytes mark) except -1:
        """One with headers goes alone: its size is only known once it is encoded."""
        cdef _Batch batch
        found = self._open.get(partition)
        if found is not None:
            self._append(found)
        batch = <_Batch>self._begin(partition, message.timestamp_ms)
        batch.indexes.append(index)
        timestamp_ms, key, value, headers = parts_of(message, topic.name)
        if mark is not None:
            # Behind the address, and in front of what a publisher may say.
            headers = (headers[0], (MARK_HEADER, mark), *headers[1:])
        batch.builder.add_parts(timestamp_ms, key, value, headers)
        return self._append(batch)

    cdef int close(self) except -1:
        """Append what is left."""
        for batch in tuple(self._open.values()):
            self._append(batch)
        return 0

    cdef object _begin(self, object partition, int64_t timestamp_ms):
        cdef _Batch batch = _Batch.__new__(_Batch)
        batch.partition = partition
        batch.builder = BatchBuilder(timestamp_ms)
        batch.indexes = []
        self._open[partition] = batch
        return batch

    cdef int _append(self, object given) except -1:
        cdef _Batch batch = <_Batch>given
        partition = batch.partition
        del self._open[partition]
        try:
            appended = partition.log.append(batch.builder.finish(), self._now_ms, own=True)
        except HubbubError as error:
            for index in batch.indexes:
                self.refused[index] = error
            return 0
        self._stored.append(Stored(
            partition.log, partition.topic.name, partition.index,
            appended.base_offset, appended.next_offset))
        return 0


cdef int store(Run run, object holder, int64_t now_ms, list stored, dict refused,
               dict failed) except -1:
    """Store what is not refused yet, unless ``holder`` has it, and in all further topics.

    Whom its home refuses is added to ``refused``, and to ``failed`` what a further topic's disk did
    not take, of which the publisher is told.
    """
    cdef Py_ssize_t index
    cdef bint several = False, queued = False
    for index in range(run.count):
        topics = (<Route>run.views[index].route).topics
        if topics:
            queued |= topics[len(topics) - 1].queued
            several |= holders(topics) > 1
    if several:
        # A topic may be the home of one message and hold another after its home does: only one by
        # one are they in it in the order in which they were published.
        for index in range(run.count):
            if holder is None:
                store_at_home(run, index, index + 1, now_ms, stored, refused)
            if index not in refused:
                failure = store_elsewhere(run, index, holder, now_ms, stored)
                if failure is not None:
                    failed[index] = failure
    elif holder is None:
        store_at_home(run, 0, run.count, now_ms, stored, refused)
    if queued:
        store_queued(run, now_ms, stored, refused, failed)
    return 0


cdef Py_ssize_t holders(tuple topics) except -1:
    """How many topics hold a message but for the one of queues, which stands last."""
    cdef Py_ssize_t count = len(topics)
    return count - 1 if count and topics[count - 1].queued else count


cdef int store_queued(Run run, int64_t now_ms, list stored, dict refused, dict failed) except -1:
    """Store for queues what some topic or nobody else holds; they refuse nothing for others."""
    cdef Storing storing = Storing(run, now_ms, stored)
    cdef Py_ssize_t index
    for index in range(run.count):
        topics = (<Route>run.views[index].route).topics
        if topics and topics[len(topics) - 1].queued and index not in refused:
            storing.put(index, topics[len(topics) - 1])
    storing.close()
    failed.update(storing.refused)
    return 0


cdef int store_at_home(Run run, Py_ssize_t first, Py_ssize_t end, int64_t now_ms, list stored,
                       dict refused) except -1:
    """Store the messages from ``first`` to before ``end`` in the topics that decide."""
    cdef Py_ssize_t index
    cdef Storing storing = None
    cdef tuple topics
    for index in range(first, end):
        topics = (<Route>run.views[index].route).topics
        if holders(topics) and index not in refused:
            if storing is None:
                storing = Storing(run, now_ms, stored)
            storing.put(index, topics[0])
    if storing is not None:
        storing.close()
        refused.update(storing.refused)
    return 0


cdef object store_elsewhere(Run run, Py_ssize_t index, object holder, int64_t now_ms, list stored):
    """Store one message in all topics but ``holder``, or its home; the failure of a disk."""
    cdef Storing storing
    cdef tuple topics = (<Route>run.views[index].route).topics
    failure = None
    for topic in topics:
        if topic is (topics[0] if holder is None else holder) or topic.queued:
            continue
        storing = Storing(run, now_ms, stored)
        storing.put(index, topic)
        storing.close()
        error = storing.refused.get(index)
        if isinstance(error, StorageError):
            failure = error
        elif error is not None:
            logger.warning("%s refused a message to %s: %s", topic.name,
                           (<Route>run.views[index].route).address, error)
    return failure
