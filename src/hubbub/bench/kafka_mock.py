"""librdkafka's in-process broker as a peer: `python -m hubbub.bench.kafka_mock FILE`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from confluent_kafka import Producer

_METADATA_SECONDS = 10


def main() -> None:
    """Run one broker, write its port to FILE, and stay until SIGTERM."""
    # Blocked before librdkafka starts threads, which then never take it themselves.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    owner = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1})
    (broker,) = owner.list_topics(timeout=_METADATA_SECONDS).brokers.values()
    Path(sys.argv[1]).write_text(str(broker.port), encoding="ascii")
    signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    main()
