"""NATS: the core protocol, as nats-server speaks it to its clients."""
