from collections.abc import Callable

from hubbub.broker.observer import Subscriber
from hubbub.broker.run import Origin, RunObserver
from hubbub.model.message import Message

class AmqpOrigin(Origin):
    """``headers`` of a view are a mark: exchange, routing key and properties."""

class Inward(RunObserver):
    """By what others publish for AMQP's queues; what AMQP's own clients publish has been there.

    ``arrived`` gets each message and whether its publisher asked for more than at most once.
    """

    def __init__(
        self, subscriber: Subscriber, arrived: Callable[[Message, bool], None]
    ) -> None: ...
