"""Append-only partitions of RecordBatch v2 behind one seam (``log.seam``), in memory or on disk."""
