"""SMSSender: Redis Pub/Sub. It gets what is published while it listens, and nothing else."""

from __future__ import annotations

import json
import os
import urllib.request

import redis

OUTSIDE = os.environ.get("OUTSIDE_URL", "http://127.0.0.1:8026")

subscriber = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379")).pubsub()
subscriber.subscribe("notifications")
for message in subscriber.listen():
    if message["type"] == "subscribe":
        print("listening", flush=True)
        continue
    event = json.loads(message["data"])
    sms = {"event": event["id"], "to": event["user"], "text": event["text"][:160]}
    urllib.request.urlopen(f"{OUTSIDE}/sms", json.dumps(sms).encode()).close()
