"""EmailSender: a Kafka consumer group. Stopped for a while, it catches up when it is back."""

from __future__ import annotations

import json
import os
import smtplib
from email.message import EmailMessage

from confluent_kafka import Consumer

consumer = Consumer(
    {
        "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        "group.id": "email-sender",
        "group.instance.id": "email-sender-1",  # after a crash it has its place again at once
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
)
consumer.subscribe(["notifications"], on_assign=lambda *_: print("listening", flush=True))
while True:
    message = consumer.poll(1.0)
    if message is None or message.error():
        continue
    event = json.loads(message.value() or b"")
    email = EmailMessage()
    email["From"], email["To"] = "shop@example.com", f"{event['user']}@example.com"
    email["Subject"], email["X-Event"] = event["type"], str(event["id"])
    email.set_content(event["text"])
    with smtplib.SMTP(os.environ.get("SMTP_ADDRESS", "127.0.0.1:8025")) as outside:
        outside.send_message(email)
    consumer.commit(message=message, asynchronous=False)  # sent: not again, even if we crash now
