"""The programs of the example; their files are those of examples/notifications."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

DIRECTORY = Path(__file__).parent / "notifications"
PUBLISHER = DIRECTORY / "publisher.py"
SINKS = DIRECTORY / "sinks.py"


class Program(NamedTuple):
    """A subscriber: how it is called, what it speaks, where what it sends comes out, its file."""

    title: str
    over: str
    sink: str
    file: str


EMAIL = Program("EmailSender", "Kafka, confluent-kafka", "email", "email_sender.py")
SMS = Program("SMSSender", "Redis, redis-py", "sms", "sms_sender.py")
PUSH = Program("PushSender", "Kafka, aiokafka", "push", "push_sender.py")
IN_APP = Program("InAppNotifier", "hubbub's Python API", "in-app", "in_app_notifier.py")
SLACK = Program("SlackSender", "hubbub's Python API", "slack", "slack_sender.py")
FIRST_FOUR = (EMAIL, SMS, PUSH, IN_APP)

# What the extra `hubbub[demo]` installs, by the module that the programs import.
_CLIENTS = {
    "confluent_kafka": "confluent-kafka",
    "redis": "redis",
    "aiokafka": "aiokafka",
}


def missing_clients() -> list[str]:
    """The packages that the programs need and that are not installed."""
    return [package for module, package in _CLIENTS.items() if find_spec(module) is None]
