"""What RabbitMQ 3.10.8 answers to odd questions, asked here: the same code, method and text.

A line of ``answers.jsonl`` is one question: what was sent before it, here and on another connection,
the octets of the question, and of what was asked afterwards, and what was answered each time.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amqp_double import Connection, amqp_listener

QUESTIONS = [
    json.loads(line)
    for line in (Path(__file__).parent / "golden" / "amqp" / "answers.jsonl")
    .read_text()
    .splitlines()
]


def asked(question):
    """What is answered here, and whether the connection is over."""
    listener = amqp_listener()
    if "other" in question:
        other = Connection(listener).open()
        for step in question["other"]:
            other.ask(bytes.fromhex(step))
    client = Connection(listener)
    if not question.get("raw"):
        client.open()
    for step in question.get("setup", ()):
        client.ask(bytes.fromhex(step), seconds=0.05)
    answers = [
        client.ask(bytes.fromhex(step), seconds=question.get("wait", 0.25))
        for step in question["send"]
    ]
    return answers, client.closed


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["name"])
def test_a_question_is_answered_as_rabbitmq_does(question):
    answers, _ = asked(question)
    assert answers == question["answers"]
