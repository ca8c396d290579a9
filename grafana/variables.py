"""The variables of the dashboards."""

from __future__ import annotations

from typing import Any

from grafana.panels import label_variable, source_variable
from grafana.promql import CHOSEN, CONNECTION, where


def connections(*, one_job: bool = False) -> list[Any]:
    """Variables for the data source, the exporters and the connection."""
    return [
        source_variable(),
        label_variable("job", "Job", "bullmq_exporter_build_info", multi=not one_job),
        label_variable("instance", "Instance", 'bullmq_exporter_build_info{job=~"$job"}'),
        label_variable("connection", "Connection", f"bullmq_up{where(CHOSEN)}"),
    ]


def queues(*, one: bool = False) -> list[Any]:
    """Those of `connections`, the prefix and the queue; `one` allows only one queue of one job."""
    paused = "bullmq_queue_paused"
    here = where(CONNECTION, 'prefix=~"$prefix"')
    return [
        *connections(one_job=one),
        label_variable("prefix", "Prefix", f"{paused}{where(CONNECTION)}"),
        label_variable("queue", "Queue", f"{paused}{here}", multi=not one),
    ]
