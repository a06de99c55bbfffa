"""The Python API: ``Broker`` in this process or connected to another, ``Subject``, ``idempotent``."""
