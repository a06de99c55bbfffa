"""Messages of work queues out of memory and back; for native code only."""
