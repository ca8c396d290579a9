"""The status page: what the exporter sees now, for people."""

from exporter.web.status.assets import ASSETS, Asset
from exporter.web.status.page import StatusPage
from exporter.web.status.query import Query, QueryError

__all__ = ["ASSETS", "Asset", "Query", "QueryError", "StatusPage"]
