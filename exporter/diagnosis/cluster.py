"""Whether only one node of a cluster is read. Pure."""

from __future__ import annotations

from exporter.connection import ONE_NODE
from exporter.state.snapshots import Snapshot


def one_node(snapshot: Snapshot) -> str | None:
    """What to do about a connection that reads one node of a cluster; None if it does not.

    The cluster's slots prove it, and so does a collector's command that was redirected.
    """
    known = snapshot.metadata
    others = known.other_masters if known is not None else 0
    errors = (report.last_error for report in snapshot.reports.values())
    if not others and not any(error is not None and error.text == ONE_NODE for error in errors):
        return None
    return ONE_NODE
