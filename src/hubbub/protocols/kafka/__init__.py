"""The Kafka protocol, as a Kafka 4.3 broker speaks it."""
