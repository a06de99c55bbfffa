"""The notification service: says what happened, and does not know who cares.

python publisher.py [HOW_MANY]    one event a second, or every PUBLISH_SECONDS
"""

from __future__ import annotations

import itertools
import os
import sys
import time

import hubbub

HAPPENINGS = [
    {"user": "ada", "type": "order_placed", "text": "Your order is placed"},
    {"user": "grace", "type": "order_shipped", "text": "Your order is on its way"},
    {"user": "alan", "type": "password_changed", "text": "Your password was changed"},
]

how_many = int(sys.argv[1]) if len(sys.argv) > 1 else sys.maxsize
with hubbub.Broker.connect() as broker:
    for number, happening in enumerate(itertools.cycle(HAPPENINGS), 1):
        payload = {"event": "NotificationRequested", "id": number, **happening}
        broker.publish("notifications", payload)
        print(number, flush=True)
        if number == how_many:
            break
        time.sleep(float(os.environ.get("PUBLISH_SECONDS", "1")))
