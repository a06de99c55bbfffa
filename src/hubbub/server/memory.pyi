def keep_freed_memory() -> None:
    """Have the allocator keep what is freed for the next turn, instead of giving it back at once."""
