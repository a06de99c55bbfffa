# cython: language_level=3, boundscheck=False, wraparound=False
"""A socket and its session.

The socket is read and written here and not by the loop's transports: what is received lies in one
buffer for all connections, parsed on the spot, and what is to be sent leaves from where it was
rendered. The loop only says which sockets are ready.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint64_t
from posix.unistd cimport close as close_socket

from hubbub.broker.outbox cimport delivered_bytes, iovec
from hubbub.broker.stream cimport StreamSession
from hubbub.server.turn cimport READ_MOST

import asyncio
import logging
import socket

from hubbub.broker.session import Peer
from hubbub.model.faults import contain

logger = logging.getLogger(__name__)

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int handle, void* buffer, size_t size, int flags)
    ssize_t send(int handle, const void* buffer, size_t size, int flags)

cdef extern from "<sys/uio.h>" nogil:
    ssize_t writev(int handle, const iovec* parts, int count)

# What is received at once: with less the system calls tell, with more the others wait longer.
READ_BYTES = READ_MOST

cdef enum:
    NO_FLAGS = 0
    READ_LEAST = 4 * 1024
    # What one read may set going before less is read from that connection: some milliseconds of
    # deliveries, for however many subscribers. Nobody else has a turn meanwhile.
    DELIVER_MOST = 16 * 1024 * 1024
    # Chunks a writev takes: the least that IOV_MAX is on the systems we know.
    MOST_PARTS = 1024
    # A peer that leaves so much of what it is sent unread is read from no further.
    UNREAD_MOST = 64 * 1024

# How long a peer that was cut off for not reading has to come and read why.
cdef double FAREWELL_SECONDS = 2.0
# How long any other peer has to take in what is left for it when its connection is being closed.
cdef double CLOSING_SECONDS = 30.0


cdef class Connection:

    def __init__(self, listener, Turn turn not None, open_connections):
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._turn = turn
        self._open = open_connections
        self._outbox = Outbox(self._outbox_ready)
        self._socket = -1
        self.gone = self._loop.create_future()
        self._read_bytes = READ_MOST

    def accept(self, accepted):
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that vanished without a word is noticed, in the system's own time.
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        peer = Peer(_endpoint(accepted.getpeername()), _endpoint(accepted.getsockname()))
        self._socket = accepted.detach()
        self._open.add(self)
        self._turn.enter()
        try:
            self._session = self._listener.session(peer, self._outbox)
            self._outbox = self._session.outbox
            self._read(True)
        except Exception:
            logger.exception("%s: no session for %s", self._listener.name, peer.remote)
            self._outbox.abort()
        self._outbox_ready()

    def flush(self):
        self.flush_now()

    cdef int flush_now(self) except -1:
        """As ``flush``."""
        if self._socket < 0:
            return 0
        if self._outbox.overflowed and self._deadline is None:
            logger.warning("%s: slow consumer disconnected", self._listener.name)
            self._end_within(FAREWELL_SECONDS)
        if self._outbox.aborted:
            return self._end()
        if not self._writing:
            self._send()
        if self._outbox.closing and self._socket >= 0 and self._deadline is None:
            self._end_within(CLOSING_SECONDS)
        return self._look()

    def close(self):
        self._outbox.close()

    def _outbox_ready(self):
        self._turn.will_flush(self)

    # --- receiving ----------------------------------------------------------------------------

    def _readable(self):
        self._receive()

    cdef int _receive(self) except -1:
        cdef ssize_t size
        if self._socket < 0:
            return 0
        size = recv(self._socket, self._turn.received, self._read_bytes, NO_FLAGS)
        if size > 0:
            self._turn.enter()
            if not self._outbox.closing and not self._outbox.aborted:
                self._feed(size)
                self._look()
        elif size == 0:
            self._end_of_input()
            self._look()
        elif errno != EAGAIN and errno != EINTR:
            self._end()
        return 0

    cdef int _end_of_input(self) except -1:
        """The peer says no more; what it is still to hear may be."""
        if isinstance(self._session, StreamSession):
            (<StreamSession>self._session).end_of_input()
        else:
            self._outbox.close()
        self._heard_all = True
        return 0

    cdef int _feed(self, Py_ssize_t size) except -1:
        cdef uint64_t before = delivered_bytes()
        try:
            if isinstance(self._session, StreamSession):
                (<StreamSession>self._session).take_in(self._turn.received, size, True)
            else:
                self._session.receive(PyBytes_FromStringAndSize(<char*>self._turn.received, size))
        except Exception:
            self._fail()
        return self._pace(size, delivered_bytes() - before)

    cdef int _pace(self, Py_ssize_t size, uint64_t delivered) except -1:
        """Read less at once from who sets much going, and more again from who does not."""
        if delivered > DELIVER_MOST:
            self._read_bytes = max(<Py_ssize_t>(size * <double>DELIVER_MOST / delivered),
                                   <Py_ssize_t>READ_LEAST)
        elif self._read_bytes < READ_MOST and delivered < DELIVER_MOST // 2:
            self._read_bytes = min(self._read_bytes * 2, <Py_ssize_t>READ_MOST)
        return 0

    cdef int _look(self) except -1:
        """Read on, or not, as the session and what its peer leaves unread allow."""
        if self._socket < 0 or self._session is None:
            return 0
        may_read = not (
            self._is_paused() or self._outbox.closing or self._heard_all
            or (self._writing and self._outbox.size > UNREAD_MOST))
        if may_read == self._reading:
            return 0
        self._read(may_read)
        if may_read:
            try:
                self._session.resume()
            except Exception:
                self._fail()
        return 0

    cdef bint _is_paused(self) except -1:
        if isinstance(self._session, StreamSession):
            return (<StreamSession>self._session).is_paused()
        return self._session.paused

    def _read(self, on):
        self._reading = on
        if on:
            self._loop.add_reader(self._socket, self._readable)
        else:
            self._loop.remove_reader(self._socket)

    def _fail(self):
        """A step of the session raised: a fault of ours, which ends this connection only."""
        logger.exception("%s: session failed", self._listener.name)
        self._outbox.close()

    # --- sending ------------------------------------------------------------------------------

    def _writable(self):
        self._turn.enter()
        self._writing = False
        self._loop.remove_writer(self._socket)
        self.flush()

    cdef int _end_within(self, double seconds) except -1:
        self._deadline = self._turn.timers.after(seconds, self._outbox.abort)
        return 0

    cdef int _send(self) except -1:
        """Write until the socket takes no more or all is sent."""
        cdef iovec parts[MOST_PARTS]
        cdef int count
        cdef ssize_t sent
        while True:
            count = self._outbox.gather(parts, MOST_PARTS)
            if count == 0:
                break
            if count == 1:
                sent = send(self._socket, parts[0].iov_base, parts[0].iov_len, NO_FLAGS)
            else:
                sent = writev(self._socket, parts, count)
            if sent >= 0:
                self._outbox.sent(sent)
            elif errno == EAGAIN:
                self._writing = True
                self._loop.add_writer(self._socket, self._writable)
                return 0
            elif errno != EINTR:
                self._end()
                return 0
        if self._outbox.closing:
            self._end()
        return 0

    cdef int _end(self) except -1:
        """Close the socket and let the session go."""
        if self._socket < 0:
            return 0
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        close_socket(self._socket)
        self._socket = -1
        self._open.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
        session, self._session = self._session, None
        if session is not None:
            self._turn.enter()
            contain(session.disconnected)
        self._outbox.abort()  # whoever still holds it writes to nobody
        if not self.gone.done():
            self.gone.set_result(None)
        return 0


cdef object _endpoint(object address):
    """Host and port; a socket that is no internet socket has neither."""
    return (address[0], address[1]) if isinstance(address, tuple) else ("", 0)
