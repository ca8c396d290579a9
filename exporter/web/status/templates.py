"""Jinja's environment for the pages."""

from __future__ import annotations

from functools import cache
from typing import Any

from exporter.web.status import filters
from exporter.web.status.assets import FOLDER


@cache
def environment() -> Any:
    """The environment with the filters. Imports Jinja only when the first page is requested."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= filters.FILTERS
    return made
