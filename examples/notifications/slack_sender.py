"""SlackSender: came later. SLACK_START=beginning gives it the history, too."""

from __future__ import annotations

import json
import os
import urllib.request

import hubbub

OUTSIDE = os.environ.get("OUTSIDE_URL", "http://127.0.0.1:8026")
START = os.environ.get("SLACK_START", "new")

with hubbub.Broker.connect() as broker:
    subscription = broker.subscribe("notifications", group="slack-sender", start=START)
    print("listening", flush=True)
    for message in subscription:
        event = message.json()
        post = {"event": event["id"], "to": "#shop", "text": f"{event['user']}: {event['type']}"}
        urllib.request.urlopen(f"{OUTSIDE}/slack", json.dumps(post).encode()).close()
