"""PushSender: another consumer group, by another Kafka client; groups share nothing."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from typing import Any

from aiokafka import AIOKafkaConsumer

OUTSIDE = os.environ.get("OUTSIDE_URL", "http://127.0.0.1:8026")


def send(event: dict[str, Any]) -> None:
    """Hand one push to the provider."""
    push = {"event": event["id"], "to": event["user"], "text": event["text"]}
    urllib.request.urlopen(f"{OUTSIDE}/push", json.dumps(push).encode()).close()


async def main() -> None:
    """Consume, send, commit."""
    consumer = AIOKafkaConsumer(
        "notifications",
        bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        group_id="push-sender",
        group_instance_id="push-sender-1",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer:
        print("listening", flush=True)
        async for message in consumer:
            await asyncio.to_thread(send, json.loads(message.value))
            await consumer.commit()


asyncio.run(main())
