"""When each collector runs, and what becomes of its facts and failures."""

from exporter.polling.poller import Poller
from exporter.polling.poller_pool import PollerPool
from exporter.polling.sync_runner import SyncRunner

__all__ = ["Poller", "PollerPool", "SyncRunner"]
