"""The Python API's own protocol: length-prefixed MessagePack, one facade call a frame."""
