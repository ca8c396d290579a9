"""The Redis server, from INFO and DBSIZE: facts that show whether its queues are safe."""

from exporter.collectors.server.collector import ServerCollector

__all__ = ["ServerCollector"]
