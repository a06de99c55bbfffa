"""What a work queue held, found again in its log after a start; for native code only."""
