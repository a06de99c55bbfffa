"""Sockets, timers, the commit thread and configuration: the only floor with asyncio."""
