"""Requests: a message that says where its answer is awaited."""

from __future__ import annotations

import uuid
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from hubbub.bus.errors import NoRespondersError
from hubbub.bus.pending import Pending

if TYPE_CHECKING:
    from concurrent.futures import Future

    from hubbub.bus.broker import Broker
    from hubbub.bus.message import Message
    from hubbub.bus.published import Published
    from hubbub.bus.slots import Slots

# As in NATS, whose clients know it.
_INBOX_PREFIX = "_INBOX"


class Requests:
    """One inbox for all answers to one client, opened with its first request.

    An answer that its asker has stopped waiting for is nobody's, and forgotten.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lock = Lock()
        self._inbox = ""
        self._numbers = count(1)
        self._waiting: WeakValueDictionary[str, Pending[Message]] = WeakValueDictionary()

    def request(
        self, address: str, payload: Any, timeout: float | None, slots: Slots
    ) -> Pending[Message]:
        """As ``Broker.request``."""
        reply_to = f"{self._open()}.{next(self._numbers)}"
        answer: Pending[Message] = Pending(timeout)
        self._waiting[reply_to] = answer

        def published(question: Future[Published]) -> None:
            failure = question.exception()
            if failure is None:
                found = question.result()
                if found.observers or found.stored:
                    return
                failure = NoRespondersError(f"nobody listens to {address}")
            if self._waiting.pop(reply_to, None) is not None:
                answer.set_exception(failure)

        slots["reply_to"] = reply_to
        question = self._broker.publish_soon(address, payload, **slots)
        question.add_done_callback(published)
        return answer

    def _open(self) -> str:
        with self._lock:
            if not self._inbox:
                inbox = f"{_INBOX_PREFIX}.{uuid.uuid4().hex}"
                subscription = self._broker.subscribe(f"{inbox}.*")
                subscription.attach_inline(self._answered)
                self._inbox = inbox
            return self._inbox

    def _answered(self, message: Message) -> None:
        answer = self._waiting.pop(message.address, None)
        if answer is not None:
            answer.set_result(message)
