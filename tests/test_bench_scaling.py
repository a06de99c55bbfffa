from __future__ import annotations

import pytest

from bench_servers import started_or_skipped
from hubbub.bench import scaling


@pytest.mark.server
@pytest.mark.parametrize(
    ("name", "protocol"),
    [("redis", "redis"), ("nats", "nats"), ("mosquitto", "mqtt"), ("rabbitmq", "amqp")],
)
def test_idle_connections_are_taken_and_weighed(name, protocol, tmp_path):
    with started_or_skipped(name, protocol, tmp_path) as started:
        assert scaling.idle_connections(started, protocol, 500)["connection"] > 0


@pytest.mark.server
@pytest.mark.parametrize("protocol", ["redis", "nats"])
def test_subscriptions_are_made_and_ended(protocol, tmp_path):
    with started_or_skipped(protocol, protocol, tmp_path) as started:
        figures = scaling.subscription_rate(started, protocol, 1000)
        assert figures["subscribe"] > 0
        assert figures["unsubscribe"] > 0
