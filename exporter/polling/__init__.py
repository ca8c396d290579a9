"""When each collector runs, and what becomes of its facts and failures."""

from exporter.polling.poller import Poller

__all__ = ["Poller"]
