"""Whether a message of QoS 2 was stored before the broker ended.

That it was taken, and the message itself, are in different logs, and a crash may come between. So the
first says where the second will be: at the next position of its topic, which nobody else can take in
between. What is not there after a crash was not taken, and its publisher sends it again.

What an observer stores has no such position. After a crash the message is taken again then, unless it
was said to be safe by another receipt: twice rather than never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from hubbub.broker.topics import Catalogue, Topic


class Landing(msgspec.Struct, frozen=True, array_like=True):
    """A topic by its number, and how many messages it has ever had once this one is there.

    ``is_all``: and nothing else stores it.
    """

    topic: int
    count: int
    is_all: bool = True


# Where nobody knows what is there.
UNSURE = Landing(0, 0, is_all=False)


def landing_of(topic: Topic | None, position: int, following: dict[Topic, int]) -> Landing | None:
    """Of the message that is the ``position``-th of those that the topic is to store now.

    None where no topic stores it.
    """
    if topic is None:
        return None
    if len(topic.partitions) > 1:
        position = following[topic]  # they are stored partition by partition: all, or none
    return Landing(topic.number, _count(topic) + position)


def is_there(landing: Landing | None, topics: Catalogue) -> bool:
    """Whether the message is where it was to be."""
    if landing is None:
        return True
    if not landing.is_all:
        return False
    topic = next((topic for topic in topics if topic.number == landing.topic), None)
    return topic is None or _count(topic) >= landing.count


def _count(topic: Topic) -> int:
    return sum(partition.log.end_offset for partition in topic.partitions)
