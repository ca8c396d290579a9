"""Polling: when each collector runs, and where its facts and failures go."""

from exporter.polling.poller import Poller
from exporter.polling.poller_pool import PollerPool
from exporter.polling.sync_runner import SyncRunner

__all__ = ["Poller", "PollerPool", "SyncRunner"]
