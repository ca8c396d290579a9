"""The status page, which shows people the current state."""

from exporter.web.status.assets import ASSETS, Asset
from exporter.web.status.page import StatusPage
from exporter.web.status.query import Query
from exporter.web.status.queue_page import queue_page

__all__ = ["ASSETS", "Asset", "Query", "StatusPage", "queue_page"]
