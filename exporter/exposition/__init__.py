"""Turns snapshots into metrics pages in the formats of Prometheus."""

from exporter.exposition.chunks import join_gzip
from exporter.exposition.formats import Format
from exporter.exposition.negotiate import acceptable, accepts_gzip, choose_format
from exporter.exposition.page import Page, PageWriter, Variant
from exporter.exposition.renderer import Renderer

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
