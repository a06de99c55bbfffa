"""What RabbitMQ 3.10.8 answers to odd questions, asked here: the same code, method and text.

A line of ``answers.jsonl`` is one question: what was sent before it, here and on another connection,
the octets of the question, and of what was asked afterwards, and what was answered each time; and
how many seconds were waited for it. What is answered otherwise here, on purpose, stands with the
reason in ``differences.jsonl``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amqp_double import Connection, amqp_listener

GOLDEN = Path(__file__).parent / "golden" / "amqp"
LAST = {"connection.close", "connection.close-ok", "protocol header"}


def lines(name):
    return [json.loads(line) for line in (GOLDEN / name).read_text().splitlines()]


QUESTIONS = lines("answers.jsonl")
DIFFERENCES = {line["name"]: line for line in lines("differences.jsonl")}


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
    wait = question.get("wait", 0.25)
    answers = [client.ask(bytes.fromhex(step), seconds=wait) for step in question["send"]]
    return answers, client.closed


def over(answers, line):
    """Whether the connection is, after these answers."""
    said = {name for part in answers for _, name, *_ in part}
    return bool(said & LAST) or line.get("closed", False)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["name"])
def test_a_question_is_answered_as_rabbitmq_does_or_otherwise_for_a_reason(question):
    expected = DIFFERENCES.get(question["name"], question)
    answers, is_over = asked(question)
    assert answers == expected["answers"]
    assert is_over == over(expected["answers"], expected)


def test_every_difference_has_its_reason_and_its_question():
    questions = {question["name"]: question for question in QUESTIONS}
    for name, line in DIFFERENCES.items():
        assert line["why"]
        assert (line["answers"], line.get("closed")) != (
            questions[name]["answers"], questions[name].get("closed"),
        )  # fmt: skip
