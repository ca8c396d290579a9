"""The queries of docs/metrics.md."""

from __future__ import annotations

from typing import Final

from docs.metrics_page import sections

QUERIES: Final = {
    question: expr for section in sections() for question, expr in section.queries.items()
}
"""Each question, and the PromQL that answers it."""
