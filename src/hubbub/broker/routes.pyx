# cython: language_level=3, boundscheck=False, wraparound=False
"""Address -> where a message to it goes, looked up once and remembered until something changes."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from hubbub.log.hashing cimport murmur2_of

from hubbub.broker.names import is_reserved
from hubbub.broker.sharing import with_turns
from hubbub.model.pattern import Exact

# Addresses whose routes are remembered; reply inboxes are used once, so the cache must not grow
# with them. 64 Ki routes of ordinary addresses take about 20 MB; long ones are looked up each time.
MAX_CACHED_ROUTES = 65_536
MAX_CACHED_LENGTH = 256

cdef enum:
    # Names that a listener finds without making an object, one to a place: 4,096 places are 96 KiB.
    NAME_PLACES = 4096
    NO_SIGN = 0x7FFFFFFF  # Kafka's partitioners mask the sign of the hash


cdef class Route:

    cdef Py_ssize_t partition(self, const uint8_t* key, Py_ssize_t key_size, Py_ssize_t count):
        """Kafka's partition of the key; without one of the address, whose order is kept then."""
        if count == 1:
            return 0
        if key_size < 0:
            return self.hash % count
        return (<uint32_t>murmur2_of(key, key_size) & NO_SIGN) % count

    cdef bytes spelled(self, object mapping):
        """The address as the protocol of ``mapping`` writes it (``mapping.spelled(address)``)."""
        if mapping is self._last_mapping:
            return self._last_spelled
        if self._spelled is None:
            self._spelled = {}
        found = self._spelled.get(mapping)
        if found is None:
            found = self._spelled[mapping] = mapping.spelled(self.address)
        self._last_mapping = mapping
        self._last_spelled = <bytes>found
        return self._last_spelled


cdef class Routes:

    def __init__(self, observers, catalogue):
        self._observers = observers
        self._catalogue = catalogue
        self._routes = {}
        self._sets = {}
        self._epoch = 1
        observers.watch(self._changed)
        catalogue.capturing.watch(self._changed)

    def __len__(self):
        return len(self._routes)

    def of(self, str address not None):
        return self.find(address)

    cdef Route find(self, str address):
        found = self._routes.get(address)
        if found is not None:
            return <Route>found
        if len(self._routes) >= MAX_CACHED_ROUTES:
            self._forget()
        route = self._make(address)
        if len(address) <= MAX_CACHED_LENGTH:
            self._routes[address] = route
        return route

    def _make(self, str address):
        cdef Route route = Route.__new__(Route)
        cdef bytes raw = address.encode()
        observers = with_turns(self._observers.match(address))
        topics = self._catalogue.capturing.match(address)
        home = self._catalogue.get(address)
        if home is not None:
            topics = (home, *topics)
        if len(topics) > 1:
            # Once each, by however many patterns. Queues keep a copy, and decide only where nobody
            # else keeps one.
            topics = sorted(dict.fromkeys(topics), key=is_copy)
        route.address = address
        route.observers = self._sets.setdefault(observers, observers)
        route.overlapping = len(observers) > 1 and has_overlap(observers)
        route.kept = any([getattr(observer, "keeps", False) for observer in observers])
        route.topics = tuple(topics)
        route.reserved = is_reserved(address)
        route.special = route.reserved or bool(route.topics)
        route.hash = murmur2_of(<const uint8_t*>PyBytes_AS_STRING(raw), len(raw)) & NO_SIGN
        route._epoch = self._epoch
        return route

    def _changed(self, pattern):
        cdef object route
        if isinstance(pattern, Exact):
            route = self._routes.pop(pattern.address, None)
            if route is not None:
                (<Route>route)._stale = True
                # Nobody shall be remembered for having been among them.
                self._sets.pop((<Route>route).observers, None)
            elif len(pattern.address) > MAX_CACHED_LENGTH:
                self._forget()  # nobody knows here who holds its route
        else:
            self._forget()

    cdef int _forget(self) except -1:
        self._routes.clear()
        self._sets.clear()
        self._epoch += 1
        return 0


def is_copy(topic):
    return topic.queued


cdef bint has_overlap(tuple observers) except -1:
    """Whether one connection would get a message through more than one of its subscriptions."""
    cdef list outboxes = []
    for observer in observers:
        for member in getattr(observer, "members", (observer,)):
            outbox = getattr(member, "outbox", None)
            if outbox is not None:
                outboxes.append(outbox)
    return len(set(outboxes)) < len(outboxes)


cdef inline uint64_t mixed(uint64_t hash) noexcept nogil:
    """Every bit of the input in every bit of the output (splitmix64's finisher, Steele 2014)."""
    hash = (hash ^ (hash >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    hash = (hash ^ (hash >> 27)) * <uint64_t>0x94D049BB133111EB
    return hash ^ (hash >> 31)


cdef inline uint64_t hash_of(const uint8_t* name, Py_ssize_t size) noexcept nogil:
    """Eight bytes a step. A name made to collide costs another look-up, and nothing else."""
    cdef uint64_t hash = <uint64_t>size, word
    while size >= 8:
        memcpy(&word, name, 8)
        hash = mixed(hash ^ word)
        name += 8
        size -= 8
    word = 0
    memcpy(&word, name, size)
    return mixed(hash ^ word)


cdef class NameCache:

    def __cinit__(self):
        self._entries = <Entry*>calloc(NAME_PLACES, sizeof(Entry))
        if self._entries == NULL:
            raise MemoryError

    def __init__(self, Routes routes not None, mapping):
        self._routes = routes
        self._address_of = mapping.address_of

    def __dealloc__(self):
        cdef int place
        if self._entries != NULL:
            for place in range(NAME_PLACES):
                Py_XDECREF(self._entries[place].name)
                Py_XDECREF(self._entries[place].route)
            free(self._entries)

    def of(self, bytes name not None):
        return self.route(<const uint8_t*>PyBytes_AS_STRING(name), len(name))

    cdef Route route(self, const uint8_t* name, Py_ssize_t size):
        """As ``of``, of a name that is only borrowed."""
        cdef uint64_t hash = hash_of(name, size)
        cdef Entry* entry = &self._entries[hash % NAME_PLACES]
        cdef Route route
        if (entry.name != NULL and entry.hash == hash
                and PyBytes_GET_SIZE(<object>entry.name) == size
                and memcmp(PyBytes_AS_STRING(<object>entry.name), name, size) == 0):
            route = <Route>entry.route
            if self._routes.holds(route):
                return route
        return self._fill(entry, hash, name, size)

    cdef Route _fill(self, Entry* entry, uint64_t hash, const uint8_t* name, Py_ssize_t size):
        cdef bytes raw = PyBytes_FromStringAndSize(<const char*>name, size)
        cdef Route route = self._routes.find(self._address_of(raw))
        if size > MAX_CACHED_LENGTH:
            return route
        Py_INCREF(raw)
        Py_INCREF(route)
        Py_XDECREF(entry.name)
        Py_XDECREF(entry.route)
        entry.hash = hash
        entry.name = <PyObject*>raw
        entry.route = <PyObject*>route
        return route
