"""Native only: ``hubbub.broker.dispatch`` calls it."""
