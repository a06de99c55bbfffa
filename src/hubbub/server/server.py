"""A running broker: the log, the facade, its listeners and the loop that drives them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from hubbub.broker.broker import Broker
from hubbub.broker.timers import Timers
from hubbub.model.address import parse_address
from hubbub.server import binding
from hubbub.server.acceptor import Acceptor
from hubbub.server.committer import Committer
from hubbub.server.config import ADDRESS
from hubbub.server.listeners import LISTENERS, OverWebSocket
from hubbub.server.turn import Turn

if TYPE_CHECKING:
    import socket

    from hubbub.log.seam import Log
    from hubbub.server.binding import Endpoint
    from hubbub.server.config import Config
    from hubbub.server.connection import Connection, Listener

# How long a peer has to take in what is left for it when the server stops.
DRAIN_SECONDS = 5.0


def open_log(config: Config) -> Log:
    """The engine that the configuration asks for. Raises DataDirectoryLockedError."""
    if config.server.memory:
        from hubbub.log.memory import MemoryLog

        return MemoryLog()
    from hubbub.log.disk import DiskLog

    return DiskLog(config.data_directory())


class Server:
    """Listeners over one broker, on the running loop."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.bound: dict[str, str] = {}  # listener -> host:port, as taken
        self._connections: set[Connection] = set()
        self._accepting: list[Acceptor] = []
        self._listeners: dict[str, Listener] = {}

    async def start(self, sockets: dict[str, socket.socket]) -> None:
        """Recover the log and serve on these listening sockets, by listener."""
        loop = asyncio.get_running_loop()
        self._log = open_log(self.config)
        timers = Timers(loop.time(), time.time_ns() // 1_000_000)
        self.broker = Broker(self._log, timers, self.config.broker)
        self._turn = Turn(loop, timers)
        self._committer = Committer(loop, self._log, self._turn)
        self._apply_static_config()
        for name, listening in sockets.items():
            listener = self._listener(name)
            self.bound[name] = binding.bound_address(listening)
            limit = self.config.server.max_connections
            self._accepting.append(
                Acceptor(loop, listening, listener, self._turn, self._connections, limit)
            )
        self._turn.begin()

    async def stop(self) -> None:
        """Accept nothing more, finish what was begun, and let go of the log."""
        for accepting in self._accepting:
            accepting.close()
        await self._committer.drain()
        self._turn.begin()
        for connection in tuple(self._connections):
            connection.close()
        gone = [connection.gone for connection in self._connections]
        if gone:
            await asyncio.wait(gone, timeout=DRAIN_SECONDS)
        self.broker.store()
        await self._committer.drain()
        self._committer.close()
        self.broker.close()

    def _listener(self, name: str) -> Listener:
        """The listener of that name; a protocol has one, however many ways there are to it."""
        registered = LISTENERS[name]
        settings = self._listener_settings(name)
        if isinstance(registered, OverWebSocket):
            from hubbub.server.websocket import WebSocketListener

            behind = self._listener(registered.protocol)
            return WebSocketListener(name, registered, behind, self.broker.timers, settings)
        if name not in self._listeners:
            self._listeners[name] = registered.make(self.broker, settings)
        return self._listeners[name]

    def _listener_settings(self, name: str) -> dict[str, object]:
        chosen = self.config.listeners.get(name, {})
        return {key: value for key, value in chosen.items() if key != ADDRESS}

    def _apply_static_config(self) -> None:
        """Topics and subscriptions that are configured exist before any client comes."""
        for wanted in self.config.topics:
            name = parse_address(wanted.name)
            topic = self.broker.topics.get(name)
            if topic is None:
                self.broker.create_topic(name, wanted.partitions, wanted.settings)
                continue
            if topic.settings != wanted.settings:
                self.broker.topics.change(topic, wanted.settings)
            if wanted.partitions and wanted.partitions > len(topic.partitions):
                self.broker.topics.add_partitions(topic, wanted.partitions)
        for subscription in self.config.subscriptions:
            topic = self.broker.topic_for(parse_address(subscription.topic))
            self.broker.subscriptions.open(subscription.name, topic, settings=subscription.settings)


def endpoints(config: Config, only: set[str] | None = None) -> list[Endpoint]:
    """Where each listener is to bind."""
    return [
        binding.parse_endpoint(name, str(config.listeners.get(name, {}).get(ADDRESS, "")))
        for name in LISTENERS
        if only is None or name in only
    ]
