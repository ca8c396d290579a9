"""The Redis server: what decides whether its queues are safe, from INFO and DBSIZE."""

from exporter.collectors.server.collector import ServerCollector

__all__ = ["ServerCollector"]
