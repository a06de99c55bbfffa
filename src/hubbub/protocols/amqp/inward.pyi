from collections.abc import Callable, Sequence

from hubbub.broker.observer import Subscriber
from hubbub.broker.publication import Durable
from hubbub.broker.run import Origin, RunObserver
from hubbub.model.message import Message

class AmqpOrigin(Origin):
    """``headers`` of a view are a mark: exchange, routing key and properties."""

class Inward(RunObserver):
    """By what others publish for AMQP's queues; what AMQP's own clients publish has been there.

    ``arrived`` gets each message and whether its publisher asked for more than at most once, and returns
    what that publisher has to wait for.
    """

    def __init__(
        self, subscriber: Subscriber, arrived: Callable[[Message, bool], Sequence[Durable]]
    ) -> None: ...
