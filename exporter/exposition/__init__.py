"""Turns snapshots into metrics pages in the Prometheus text formats."""

from exporter.exposition.chunks import join_gzip
from exporter.exposition.negotiate import acceptable, accepts_gzip, choose_format
from exporter.exposition.page import Page, PageWriter, Variant
from exporter.exposition.renderer import Renderer
from exporter.exposition.text import Format

__all__ = [
    "Format",
    "Page",
    "PageWriter",
    "Renderer",
    "Variant",
    "acceptable",
    "accepts_gzip",
    "choose_format",
    "join_gzip",
]
