"""The play: four subscribers, one joins, one leaves, and the publisher never knows."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import hubbub
from hubbub.demo import programs
from hubbub.demo.processes import Children, ProgramFailedError
from hubbub.demo.programs import FIRST_FOUR, IN_APP, SLACK, SMS

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from hubbub.demo.board import Board, Row
    from hubbub.demo.processes import Child
    from hubbub.demo.programs import Program

TOPIC = "notifications"
# Without an end in sight, Slack joins and SMS leaves after this many events.
_JOIN_AFTER, _LEAVE_AFTER = 5, 10
# A group's first member waits for others, a Kafka client for its first metadata: seconds, not more.
_START_SECONDS = 30.0
# What is on its way when the publisher has ended arrives within this time, or is lost.
_ARRIVE_SECONDS = 15.0
_FEED_SECONDS = 0.1  # how often the feed's table is looked at


class Play:
    """One performance."""

    def __init__(self, board: Board, directory: Path, events: int | None, interval: float) -> None:
        self._board = board
        self._directory = directory
        self._events = events
        self._interval = interval
        self._children = Children(directory)
        self._readers: list[asyncio.Task[None]] = []
        self._subscribers: dict[Program, Child] = {}
        self._feed = directory / "feed.db"

    async def perform(self) -> None:
        """Until the publisher has said everything, or until cancelled.

        Raises ProgramFailedError.
        """
        try:
            # A reader that fails ends the play: what it would have shown, nobody would miss.
            async with self._children, asyncio.TaskGroup() as self._group:
                await self._set_the_stage()
                for program in FIRST_FOUR:
                    await self._join(program)
                await self._run_publisher()
                for reader in self._readers:
                    reader.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _set_the_stage(self) -> None:
        """A server on free ports, the world outside, and the topic."""
        ready = self._directory / "ready.json"
        server = await self._children.start(
            "server", "-m", "hubbub", "up", "--memory", "--ready-file", str(ready)
        )
        await server.line()  # comes when it is ready
        bound: dict[str, str] = json.loads(ready.read_text())
        self._board.news("hubbub is up: " + ", ".join(f"{k} {v}" for k, v in bound.items()))
        sinks = await self._children.start("sinks", str(programs.SINKS), "0", "0")
        self._children.export(
            KAFKA_BOOTSTRAP_SERVERS=bound["kafka"],
            REDIS_URL=f"redis://{bound['redis']}",
            HUBBUB_URL=f"hubbub://{bound['bus']}",
            FEED_DB=str(self._feed),
            PUBLISH_SECONDS=str(self._interval),
            **json.loads(await sinks.line()),
        )
        self._keep(self._read_sinks(sinks))
        with hubbub.Broker.connect(f"hubbub://{bound['bus']}") as broker:
            broker.create_topic(TOPIC, partitions=3)

    async def _run_publisher(self) -> None:
        how_many = [] if self._events is None else [str(self._events)]
        join_after = _JOIN_AFTER if self._events is None else self._events // 3
        leave_after = _LEAVE_AFTER if self._events is None else self._events * 2 // 3
        publisher = await self._children.start("publisher", str(programs.PUBLISHER), *how_many)
        self._board.news(f"> the publisher starts (pid {publisher.pid})")
        publishing = self._keep(self._count(publisher))
        await self._published(join_after, publishing)
        await self._join(SLACK)
        await self._published(leave_after, publishing)
        await self._leave(SMS)
        self._board.news(f"  the publisher is still pid {publisher.pid}: nobody told it")
        await publishing
        if await publisher.process.wait():
            await publisher.line()  # raises, with what it said
        await self._board.until(self._board.is_complete, _ARRIVE_SECONDS)

    async def _published(self, count: int, publishing: asyncio.Task[None]) -> None:
        await self._board.until(lambda: self._board.published >= count or publishing.done())

    async def _join(self, program: Program) -> None:
        row = self._board.add(program)
        self._board.changed()
        child = await self._children.start(program.sink, str(programs.DIRECTORY / program.file))
        try:
            await asyncio.wait_for(child.line(), _START_SECONDS)  # it says that it listens
        except TimeoutError:
            raise ProgramFailedError(f"{program.title} does not listen") from None
        self._subscribers[program] = child
        row.joined_after = self._board.published
        row.status = "listening"
        self._keep(self._watch(child, row))
        if program is IN_APP:
            self._keep(self._read_feed())
        self._board.news(f"+ {program.title} listens ({program.over})")

    async def _leave(self, program: Program) -> None:
        self._board.rows[program.sink].status = "left"
        await self._subscribers[program].stop()
        self._board.news(f"- {program.title} is gone")

    async def _watch(self, child: Child, row: Row) -> None:
        async for _ in child.lines():
            pass  # a full pipe would stop it
        if row.status != "left":
            row.status = "ended"
            self._board.news(f"! {row.program.title} ended")

    async def _count(self, publisher: Child) -> None:
        async for line in publisher.lines():
            self._board.published = int(line)
            self._board.changed()

    async def _read_sinks(self, sinks: Child) -> None:
        async for line in sinks.lines():
            self._board.arrived(**json.loads(line))

    async def _read_feed(self) -> None:
        last = 0
        with closing(sqlite3.connect(self._feed)) as feed:
            while True:
                rows = feed.execute("SELECT * FROM feed WHERE event > ? ORDER BY event", (last,))
                for last, user, text in rows.fetchall():
                    self._board.arrived(IN_APP.sink, last, user, text)
                await asyncio.sleep(_FEED_SECONDS)

    def _keep(self, reading: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run a reader beside the play."""
        task = self._group.create_task(reading)
        self._readers.append(task)
        return task
