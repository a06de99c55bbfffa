"""InAppNotifier: hubbub's Python API and a row in the user's feed."""

from __future__ import annotations

import os
import sqlite3

import hubbub

feed = sqlite3.connect(os.environ.get("FEED_DB", "feed.db"), isolation_level=None)
feed.execute("CREATE TABLE IF NOT EXISTS feed (event INTEGER PRIMARY KEY, user TEXT, text TEXT)")
with hubbub.Broker.connect() as broker:
    subscription = broker.subscribe("notifications", group="in-app-notifier", start="beginning")
    print("listening", flush=True)
    for message in subscription:
        event = message.json()
        # A message may come twice, after a crash; its id makes the second time harmless.
        feed.execute(
            "INSERT OR IGNORE INTO feed VALUES (?, ?, ?)",
            (event["id"], event["user"], event["text"]),
        )
