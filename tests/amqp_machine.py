"""A broker with AMQP's listener, without sockets, on a disk that does what the test says."""

from __future__ import annotations

from amqp_session_double import START, WALL_MS, Connection, pass_time
from durable_publishers import ADDRESS, SURE, UNSURE
from held_log import HeldLog
from hubbub.broker.broker import Broker
from hubbub.broker.timers import Timers
from hubbub.model.errors import StorageFullError
from hubbub.protocols.amqp.listener import AmqpListener
from hubbub.protocols.amqp.tables import table_of


class Machine:
    """Its queues are bound to what other protocols publish."""

    def __init__(self, log=None):
        self.log = log or HeldLog()
        self.broker = Broker(self.log, Timers(now=START, wall_ms=WALL_MS))
        self.listener = AmqpListener(self.broker)
        self.log.sync()

    def declare(self, name=ADDRESS, kind="classic", *, durable=True, **arguments):
        """A queue of that name gets what is published to that address."""
        channel = Connection(self.listener).channel()
        channel.send(
            "queue.declare", queue=name, durable=durable,
            arguments=table_of({"x-queue-type": kind} | arguments),
        )  # fmt: skip
        self.log.sync()
        assert channel.names()[-1] == "queue.declare-ok"

    def bind(self, queue):
        """Let the queue have what is published to the address, too."""
        channel = Connection(self.listener).channel()
        channel.send("queue.bind", queue=queue, exchange="amq.topic", routing_key=ADDRESS)
        self.log.sync()
        assert channel.names()[-1] == "queue.bind-ok"

    def publisher(self, name):
        made = (SURE | UNSURE)[name](self.broker)
        self.log.sync()
        return made

    def queue_log(self, name=ADDRESS):
        queue = self.listener.vhosts["/"].queues[name]
        return queue.stream.partition.log if queue.stream else queue.work.log.partition

    def sync_all_but(self, *held):
        for partition in self.log.partitions.values():
            if partition not in held:
                partition.sync()

    def pass_turns(self):
        """Let the turns go by in which there is something to do now."""
        pass_time(self.listener)

    def messages(self, name=ADDRESS):
        return self.listener.vhosts["/"].queues[name].ready


def no_room(*_args, **_more):
    """What ``append`` does on a full disk."""
    raise StorageFullError("no space left")
