"""From snapshots to bytes in Prometheus' text formats."""

from exporter.exposition.gzip import gzip_of
from exporter.exposition.negotiate import acceptable, accepts_gzip, choose_format
from exporter.exposition.page import Page, PageWriter, Variant
from exporter.exposition.press import Press
from exporter.exposition.text import Format

__all__ = [
    "Format",
    "Page",
    "PageWriter",
    "Press",
    "Variant",
    "acceptable",
    "accepts_gzip",
    "choose_format",
    "gzip_of",
]
