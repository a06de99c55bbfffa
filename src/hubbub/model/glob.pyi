def matches(pattern: bytes, name: bytes) -> bool:
    """Whether ``name`` matches the Redis glob ``pattern``."""
