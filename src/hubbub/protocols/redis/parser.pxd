cdef class RequestParser:
    cdef public bint trusted
    cdef public Py_ssize_t max_bulk_bytes
    cdef public Py_ssize_t max_request_bytes
    cdef readonly object failure
    cdef Py_ssize_t _at
    cdef list _arguments        # of the multibulk request that is coming in
    cdef Py_ssize_t _missing    # how many more it has
    cdef Py_ssize_t _bulk       # length of the argument that is coming in, UNKNOWN between two
    cdef Py_ssize_t _size       # bytes that the request has announced so far

    cdef Py_ssize_t scan(self, const unsigned char* start, Py_ssize_t size, list requests,
                         Py_ssize_t limit) except -1
    cdef bint is_inside(self) noexcept
    cdef bint _fail(self, str text) except -1
    cdef bint _inline(self, const unsigned char* start, Py_ssize_t size, list requests) except -1
    cdef bint _multibulk(self, const unsigned char* start, Py_ssize_t size, list requests) except -1
    cdef Py_ssize_t _line(self, const unsigned char* start, Py_ssize_t size, str too_big) except -2
    cdef bint _count(self, const unsigned char* start, Py_ssize_t size) except -1
    cdef bint _bulk_length(self, const unsigned char* start, Py_ssize_t size) except -1
