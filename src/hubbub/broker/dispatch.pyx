# cython: language_level=3, boundscheck=False, wraparound=False
"""The hot path of every publish: authorise, store, then hand over to the observers, run by run."""

from hubbub.broker.records cimport RecordOrigin, RecordReader
from hubbub.broker.routes cimport Route
from hubbub.broker.run cimport Origin, run_of, unrouted
from hubbub.broker.sharing cimport Turns, hand_over
from hubbub.broker.storing cimport store

import logging

from hubbub.broker.access import AllowAll
from hubbub.broker.publication import Publication
from hubbub.model.errors import DeniedError

logger = logging.getLogger(__name__)


cdef class Outcome:

    def publication(self, observers=0, failure=None):
        return Publication(observers, tuple(self.stored), failure)

    cdef bint is_mixed(self) noexcept:
        """Whether messages to one address may have gone to different observers."""
        return self._delivered is not None

    cdef Py_ssize_t delivered(self, Run run, Py_ssize_t index) except -1:
        """How many observers the message at ``index`` was handed to."""
        if self.refused and index in self.refused:
            return 0
        if self._delivered is not None:
            return self._delivered[index]
        return len((<Route>run.views[index].route).observers)


cdef class Dispatcher:

    def __init__(self, Routes routes not None, access, timers):
        self.routes = routes
        self._access = access
        self._open = type(access) is AllowAll
        self._timers = timers

    @property
    def is_open(self):
        return self._open

    def publish(self, Route route not None, message, str principal):
        cdef Run run = run_of(route, message)
        cdef Outcome outcome = self.publish_run(run, principal)
        if outcome.refused:
            raise outcome.refused[0]
        return outcome.publication(outcome.delivered(run, 0), outcome.failed.get(0))

    def publish_burst(self, Burst burst not None, str principal):
        return self.publish_run(burst.run(0, burst.count), principal)

    def pass_on(self, Route route not None, bytes batch not None):
        cdef Burst burst = Burst(RecordOrigin())
        cdef RecordReader reader = RecordReader(batch)
        cdef list stored = []
        cdef Outcome outcome
        failure = None
        while reader.fill(burst, route):
            outcome = self._settle(burst.run(0, burst.count), route.topics[0], {}, stored)
            failure = next(iter(outcome.failed.values()), failure)
        return stored, failure

    def pass_on_message(self, Route route not None, message, holder):
        cdef Outcome outcome = self._settle(run_of(route, message), holder, {}, [])
        return outcome.stored, outcome.failed.get(0)

    def deliver(self, tuple observers not None, message):
        give(observers, run_of(unrouted(message.address), message))

    cdef int64_t wall_ms(self) except -1:
        """The moment of this turn, as Unix time in milliseconds."""
        return self._timers.wall_ms

    cdef double now(self) except -1:
        """The same in monotonic seconds."""
        return self._timers.now

    cdef Outcome publish_run(self, Run run, str principal):
        cdef dict refused = {}
        cdef list stored = []
        if run.special or not self._open:
            self._authorise(run, principal, refused)
        return self._settle(run, None, refused, stored)

    cdef Outcome _settle(self, Run run, object holder, dict refused, list stored):
        """Store what is not refused, unless ``holder`` has it already, and then hand it over."""
        cdef Outcome outcome = Outcome.__new__(Outcome)
        outcome.failed = {}
        if run.special:
            store(run, holder, self._timers.wall_ms, stored, refused, outcome.failed)
        outcome.refused = refused
        outcome.stored = stored
        if run.kept:
            run.stores = set()
        if self._open:
            self._deliver(run, outcome)
        else:
            self._deliver_allowed(run, outcome)
        if run.stores:
            stored += run.stores
        return outcome

    cdef int _authorise(self, Run run, str principal, dict refused) except -1:
        cdef Py_ssize_t index
        cdef Route route
        cdef Route last = None
        for index in range(run.count):
            route = <Route>run.views[index].route
            if route is last and not refused:
                continue
            last = route
            if route.reserved:
                refused[index] = DeniedError(f"{route.address} is a reserved name")
            elif not self._open and not self._access.may(principal, "publish", route.address):
                who = principal or "anonymous"
                refused[index] = DeniedError(f"{who} may not publish {route.address}")
        return 0

    cdef int _deliver(self, Run run, Outcome outcome) except -1:
        """Cut the run where the observers change; they take a message in publish order."""
        cdef Py_ssize_t first = 0, index
        cdef object observers
        cdef void* route
        cdef bint all_taken = not outcome.refused
        while first < run.count:
            route = run.views[first].route
            observers = (<Route>route).observers
            index = first + 1
            if not all_taken and first in outcome.refused:
                first = index
                continue
            while (index < run.count
                    and (run.views[index].route == route
                         or (<Route>run.views[index].route).observers is observers)
                    and (all_taken or index not in outcome.refused)):
                index += 1
            if observers and (<Route>route).overlapping:
                # Who has it twice gets both before the next message.
                for first in range(first, index):
                    give(<tuple>observers, run.slice(first, 1))
            elif observers:
                give(<tuple>observers,
                     run if index - first == run.count else run.slice(first, index - first))
            first = index
        return 0

    cdef int _deliver_allowed(self, Run run, Outcome outcome) except -1:
        """Ask, for each message and observer, on the concrete address: a pattern covers much."""
        cdef Py_ssize_t index
        cdef Route route
        outcome._delivered = [0] * run.count
        for index in range(run.count):
            if index in outcome.refused:
                continue
            route = <Route>run.views[index].route
            allowed = []
            for observer in route.observers:
                if isinstance(observer, Turns):
                    observer = (<Turns>observer).among(self._may_receive, route.address)
                    if observer is not None:
                        allowed.append(observer)
                elif self._may_receive(observer, route.address):
                    allowed.append(observer)
            outcome._delivered[index] = len(allowed)
            give(tuple(allowed), run.slice(index, 1))
        return 0

    def _may_receive(self, observer, str address):
        subscriber = observer.subscriber
        return subscriber.asks_later or self._access.may(
            subscriber.principal, "receive", address)


cdef class Publisher:

    def __init__(self, broker, mapping, Origin origin not None):
        self.dispatcher = broker.dispatcher
        self.names = NameCache(broker.routes, mapping)
        self.burst = Burst(origin)


cdef int give(tuple observers, Run run) except -1:
    """Give the run to each; one that fails is a fault of ours, and only its own affair."""
    cdef Py_ssize_t at = 0, count = len(observers)
    while at < count:
        try:
            while at < count:
                hand_over(observers[at], run)
                at += 1
        except Exception:
            logger.exception("an observer failed")
            at += 1
    return 0
