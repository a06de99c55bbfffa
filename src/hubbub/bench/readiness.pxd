# cython: language_level=3
"""Which sockets can be read or written: epoll where there is one, poll(2) elsewhere."""

from libc.stdint cimport int64_t


cdef extern from *:
    """
    #include <errno.h>
    #include <poll.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include <sys/socket.h>
    #include <time.h>
    #include <unistd.h>

    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0  /* macOS; Python ignores SIGPIPE in any case */
    #endif

    #define READABLE 1
    #define WRITABLE 2

    static inline int64_t now_ns(void) {
        struct timespec moment;
        clock_gettime(CLOCK_MONOTONIC, &moment);
        return (int64_t)moment.tv_sec * 1000000000 + moment.tv_nsec;
    }

    static inline int64_t processor_ns(void) {
        struct timespec spent;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
        return (int64_t)spent.tv_sec * 1000000000 + spent.tv_nsec;
    }

    #ifdef __linux__
    #include <sys/epoll.h>
    #include <sys/prctl.h>

    #define READY_AT_ONCE 1024  /* a turn handles no more; level-triggered, so none is forgotten */

    typedef struct {
        int epoll, count;
        int opened;  /* not until then: in what is all zeros, `epoll` names standard input */
        struct epoll_event events[READY_AT_ONCE];
    } readiness;

    static inline int readiness_open(readiness *ready) {
        ready->count = 0;
        ready->epoll = epoll_create1(EPOLL_CLOEXEC);
        ready->opened = ready->epoll >= 0;
        prctl(PR_SET_TIMERSLACK, 1);  /* a paced load is due to the microsecond, not to the 50th */
        return ready->epoll;
    }

    static inline void readiness_close(readiness *ready) {
        if (ready->opened) close(ready->epoll);
    }

    static inline int readiness_set(readiness *ready, int operation, int fd, int id, int wanted) {
        struct epoll_event event = {0};
        event.events = (wanted & READABLE ? EPOLLIN : 0) | (wanted & WRITABLE ? EPOLLOUT : 0);
        event.data.u32 = (uint32_t)id;
        return epoll_ctl(ready->epoll, operation, fd, &event);
    }

    static inline int readiness_add(readiness *ready, int fd, int id, int wanted) {
        return readiness_set(ready, EPOLL_CTL_ADD, fd, id, wanted);
    }

    static inline int readiness_change(readiness *ready, int fd, int id, int wanted) {
        return readiness_set(ready, EPOLL_CTL_MOD, fd, id, wanted);
    }

    static inline int readiness_remove(readiness *ready, int fd, int id) {
        return readiness_set(ready, EPOLL_CTL_DEL, fd, id, 0);
    }

    /* epoll_wait counts milliseconds; ppoll on the epoll descriptor counts nanoseconds. */
    static inline int readiness_wait(readiness *ready, int64_t timeout_ns) {
        if (timeout_ns > 0) {
            struct pollfd epoll = {ready->epoll, POLLIN, 0};
            struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
            ppoll(&epoll, 1, &timeout, NULL);
        }
        ready->count = epoll_wait(ready->epoll, ready->events, READY_AT_ONCE, 0);
        if (ready->count < 0) ready->count = 0;  /* interrupted by a signal */
        return ready->count;
    }

    static inline int ready_id(readiness *ready, int at) {
        return (int)ready->events[at].data.u32;
    }

    static inline int ready_for(readiness *ready, int at) {
        uint32_t events = ready->events[at].events;
        return (events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? READABLE : 0)
             | (events & EPOLLOUT ? WRITABLE : 0);
    }
    #else
    typedef struct {
        int count, watched, capacity;
        struct pollfd *polled;
        int *ids;
        int *ready;
    } readiness;

    static inline int readiness_open(readiness *ready) {
        ready->count = ready->watched = ready->capacity = 0;
        ready->polled = NULL;
        ready->ids = ready->ready = NULL;
        return 0;
    }

    static inline void readiness_close(readiness *ready) {
        free(ready->polled);
        free(ready->ids);
        free(ready->ready);
    }

    static inline int readiness_find(readiness *ready, int id) {
        for (int at = 0; at < ready->watched; at++)
            if (ready->ids[at] == id) return at;
        return -1;
    }

    static inline int readiness_change(readiness *ready, int fd, int id, int wanted) {
        int at = readiness_find(ready, id);
        if (at < 0) return -1;
        ready->polled[at].fd = fd;
        ready->polled[at].events = (wanted & READABLE ? POLLIN : 0)
                                 | (wanted & WRITABLE ? POLLOUT : 0);
        return 0;
    }

    static inline int readiness_add(readiness *ready, int fd, int id, int wanted) {
        if (ready->watched == ready->capacity) {
            int capacity = ready->capacity ? ready->capacity * 2 : 64;
            struct pollfd *polled = realloc(ready->polled, capacity * sizeof *polled);
            if (polled) ready->polled = polled;
            int *ids = realloc(ready->ids, capacity * sizeof *ids);
            if (ids) ready->ids = ids;
            int *found = realloc(ready->ready, capacity * sizeof *found);
            if (found) ready->ready = found;
            if (!polled || !ids || !found) return -1;
            ready->capacity = capacity;
        }
        ready->ids[ready->watched++] = id;
        return readiness_change(ready, fd, id, wanted);
    }

    static inline int readiness_remove(readiness *ready, int fd, int id) {
        int at = readiness_find(ready, id);
        if (at < 0) return -1;
        (void)fd;
        ready->polled[at] = ready->polled[--ready->watched];
        ready->ids[at] = ready->ids[ready->watched];
        return 0;
    }

    static inline int readiness_wait(readiness *ready, int64_t timeout_ns) {
        /* poll counts milliseconds: a shorter wait is spent asking again. */
        ready->count = 0;
        if (poll(ready->polled, ready->watched, (int)(timeout_ns / 1000000)) <= 0) return 0;
        for (int at = 0; at < ready->watched; at++)
            if (ready->polled[at].revents) ready->ready[ready->count++] = at;
        return ready->count;
    }

    static inline int ready_id(readiness *ready, int at) {
        return ready->ids[ready->ready[at]];
    }

    static inline int ready_for(readiness *ready, int at) {
        short events = ready->polled[ready->ready[at]].revents;
        return (events & (POLLIN | POLLHUP | POLLERR) ? READABLE : 0)
             | (events & POLLOUT ? WRITABLE : 0);
    }
    #endif

    /* Bytes read; 0: nothing there now; -1: the other side has closed, or an error. */
    static inline ssize_t read_some(int fd, void *into, size_t room) {
        ssize_t got = recv(fd, into, room, MSG_DONTWAIT);
        if (got > 0) return got;
        return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) ? 0 : -1;
    }

    /* Bytes written; 0: no room now; -1: an error. */
    static inline ssize_t write_some(int fd, const void *from, size_t size) {
        ssize_t put = send(fd, from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put >= 0) return put;
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
    }
    """
    ctypedef struct readiness:
        int count
    int READABLE
    int WRITABLE
    int64_t now_ns() noexcept nogil
    int64_t processor_ns() noexcept nogil
    int readiness_open(readiness* ready) noexcept nogil
    void readiness_close(readiness* ready) noexcept nogil
    int readiness_add(readiness* ready, int fd, int id, int wanted) noexcept nogil
    int readiness_change(readiness* ready, int fd, int id, int wanted) noexcept nogil
    int readiness_remove(readiness* ready, int fd, int id) noexcept nogil
    int readiness_wait(readiness* ready, int64_t timeout_ns) noexcept nogil
    int ready_id(readiness* ready, int at) noexcept nogil
    int ready_for(readiness* ready, int at) noexcept nogil
    Py_ssize_t read_some(int fd, void* into, size_t room) noexcept nogil
    Py_ssize_t write_some(int fd, const void* source, size_t size) noexcept nogil
