# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""A bare forwarder of bytes: what loopback itself can do, with nothing parsed on the way.

A connection says one line first, ``S GROUP`` or ``P GROUP`` (groups are small numbers), and is
answered ``+``. Then every byte of a publisher goes to all subscribers of its group. While one of
them has bytes unsent, the group's publishers are not read: nothing is dropped, and no more than one
read waits for anybody.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcpy, memset
from posix.unistd cimport close

from hubbub.bench.readiness cimport *

import socket as sockets

cdef enum:
    # A read: as much as Linux lets a loopback socket hold by default, and what hubbub reads.
    CHUNK_BYTES = 256 * 1024
    # The longest first line: a letter, a space, a number of five digits and a line feed.
    LINE_BYTES = 8
    MAX_GROUPS = 4096
    # How often a signal is looked for when there is nothing to do.
    IDLE_NS = 200 * 1000 * 1000
    LISTENER = 0

cdef enum Role:
    UNKNOWN
    PUBLISHER
    SUBSCRIBER

cdef struct Member:
    int fd
    Role role
    int group
    char line[LINE_BYTES]
    int line_size
    char* unsent
    Py_ssize_t unsent_at
    Py_ssize_t unsent_size

cdef struct Group:
    int* members
    int count
    int waiting  # subscribers that have bytes unsent


cdef class Relay:
    """Forwards what connections to ``listener``, a listening socket, send; for ever."""

    cdef readiness ready
    cdef Member* members
    cdef Group* groups
    cdef char* chunk
    cdef int member_count
    cdef int listener
    cdef object socket

    def __cinit__(self):
        self.groups = <Group*>calloc(MAX_GROUPS, sizeof(Group))
        self.chunk = <char*>malloc(CHUNK_BYTES)
        self.members = <Member*>calloc(1, sizeof(Member))
        self.member_count = 1  # number 0 is the listener
        if self.groups == NULL or self.chunk == NULL or self.members == NULL:
            raise MemoryError
        if readiness_open(&self.ready) < 0:
            raise OSError("no descriptor for epoll")

    def __dealloc__(self):
        cdef int number
        for number in range(self.member_count):
            free(self.members[number].unsent)
        for number in range(MAX_GROUPS):
            free(self.groups[number].members)
        free(self.groups)
        free(self.chunk)
        free(self.members)
        readiness_close(&self.ready)

    def __init__(self, socket not None):
        self.socket = socket
        self.listener = socket.fileno()
        readiness_add(&self.ready, self.listener, LISTENER, READABLE)

    def serve(self):
        """Forward until a signal's handler raises.

        Raises:
            OSError: no more connections can be accepted.
        """
        cdef int at, number
        while True:
            with nogil:
                readiness_wait(&self.ready, IDLE_NS)
                for at in range(self.ready.count):
                    number = ready_id(&self.ready, at)
                    if number != LISTENER:
                        self.turn(number, ready_for(&self.ready, at))
            for at in range(self.ready.count):
                if ready_id(&self.ready, at) == LISTENER:
                    self.accept()
            PyErr_CheckSignals()

    cdef accept(self):
        accepted, _ = self.socket.accept()
        accepted.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        cdef int fd = accepted.detach()
        cdef int number = self.member_count
        cdef Member* grown = <Member*>realloc(self.members, (number + 1) * sizeof(Member))
        if grown == NULL:
            raise MemoryError
        self.members = grown
        memset(&grown[number], 0, sizeof(Member))
        grown[number].fd = fd
        self.member_count += 1
        readiness_add(&self.ready, fd, number, READABLE)

    cdef void turn(self, int number, int ready) noexcept nogil:
        cdef Member* member = &self.members[number]
        if member.fd < 0:  # closed earlier in this turn
            return
        if ready & WRITABLE:
            self.resume(number)
        if ready & READABLE and member.fd >= 0:
            if member.role == PUBLISHER:
                # Somebody may have fallen behind since this turn's events were fetched.
                if self.groups[member.group].waiting == 0:
                    self.forward(number)
            elif member.role == SUBSCRIBER:
                if read_some(member.fd, self.chunk, CHUNK_BYTES) < 0:
                    self.leave(number)
            else:
                self.introduce(number)

    cdef void introduce(self, int number) noexcept nogil:
        """Read the first line, byte by byte: what follows it is to be forwarded."""
        cdef Member* member = &self.members[number]
        cdef Py_ssize_t got
        cdef int at, group = 0
        while member.line_size < LINE_BYTES:
            got = read_some(member.fd, &member.line[member.line_size], 1)
            if got <= 0:
                if got < 0:
                    self.leave(number)
                return
            member.line_size += 1
            if member.line[member.line_size - 1] == c'\n':
                break
        for at in range(2, member.line_size - 1):
            group = group * 10 + member.line[at] - c'0'
        if not 0 <= group < MAX_GROUPS or memchr(b"PS", member.line[0], 2) == NULL:
            self.leave(number)
            return
        member.group = group
        member.role = PUBLISHER if member.line[0] == c'P' else SUBSCRIBER
        self.join(&self.groups[group], number)
        write_some(member.fd, <const char*>b"+", 1)

    cdef void join(self, Group* group, int number) noexcept nogil:
        cdef int* grown = <int*>realloc(group.members, (group.count + 1) * sizeof(int))
        if grown == NULL:
            self.leave(number)
            return
        group.members = grown
        grown[group.count] = number
        group.count += 1

    cdef void forward(self, int publisher) noexcept nogil:
        cdef Group* group = &self.groups[self.members[publisher].group]
        cdef Py_ssize_t got = read_some(self.members[publisher].fd, self.chunk, CHUNK_BYTES)
        cdef int at
        if got < 0:
            self.leave(publisher)
            return
        if got == 0:
            return
        # From the back: a subscriber that has gone is taken out while this goes on.
        for at in range(group.count - 1, -1, -1):
            if self.members[group.members[at]].role == SUBSCRIBER:
                self.send(group, group.members[at], got)

    cdef void send(self, Group* group, int number, Py_ssize_t size) noexcept nogil:
        cdef Member* member = &self.members[number]
        cdef Py_ssize_t put = write_some(member.fd, self.chunk, size)
        if put < 0:
            self.leave(number)
            return
        if put == size:
            return
        if member.unsent == NULL:
            member.unsent = <char*>malloc(CHUNK_BYTES)
            if member.unsent == NULL:
                self.leave(number)
                return
        memcpy(member.unsent, self.chunk + put, size - put)
        member.unsent_at = 0
        member.unsent_size = size - put
        readiness_change(&self.ready, member.fd, number, READABLE | WRITABLE)
        group.waiting += 1
        if group.waiting == 1:
            self.listen(group, 0)

    cdef void resume(self, int number) noexcept nogil:
        cdef Member* member = &self.members[number]
        cdef Py_ssize_t left = member.unsent_size - member.unsent_at
        cdef Py_ssize_t put = write_some(member.fd, member.unsent + member.unsent_at, left)
        if put < 0:
            self.leave(number)
            return
        member.unsent_at += put
        if put == left:
            readiness_change(&self.ready, member.fd, number, READABLE)
            self.caught_up(number)

    cdef void caught_up(self, int number) noexcept nogil:
        cdef Member* member = &self.members[number]
        cdef Group* group = &self.groups[member.group]
        member.unsent_at = member.unsent_size = 0
        group.waiting -= 1
        if group.waiting == 0:
            self.listen(group, READABLE)

    cdef void listen(self, Group* group, int wanted) noexcept nogil:
        """Whether the group's publishers are read."""
        cdef int at, number
        for at in range(group.count):
            number = group.members[at]
            if self.members[number].role == PUBLISHER:
                readiness_change(&self.ready, self.members[number].fd, number, wanted)

    cdef void leave(self, int number) noexcept nogil:
        cdef Member* member = &self.members[number]
        cdef Group* group = &self.groups[member.group]
        cdef int at
        readiness_remove(&self.ready, member.fd, number)
        close(member.fd)
        member.fd = -1
        if member.role == UNKNOWN:
            return
        for at in range(group.count):
            if group.members[at] == number:
                group.count -= 1
                group.members[at] = group.members[group.count]
                break
        if member.unsent_size:
            self.caught_up(number)
        free(member.unsent)
        member.unsent = NULL
