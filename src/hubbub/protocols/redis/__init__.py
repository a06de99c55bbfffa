"""The Redis protocol: RESP2 and RESP3, the connection commands and Pub/Sub."""
