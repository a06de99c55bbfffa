def checked(encoded: bytes) -> bool:
    """Whether ``tables.decode_table`` would read these entries; nothing is made of them."""
