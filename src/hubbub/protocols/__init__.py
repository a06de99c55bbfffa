"""One folder a protocol: codec (bytes and verbs), session (state machine), mapping (nouns)."""
