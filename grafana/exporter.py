"""BullMQ / Exporter: is the exporter healthy and cheap?"""

from __future__ import annotations

from typing import Final

from exporter.rules.alerts import EXPORTER
from grafana import thresholds
from grafana.panels import Panel, Query, Row, build, lines, stats
from grafana.promql import CHOSEN, CONNECTION, RATE, where
from grafana.variables import connections

# about exporters, not about queues: each instance is shown on its own
_HERE: Final = where(CHOSEN)
_AT: Final = where(CONNECTION)
_NAMED: Final = "{{instance}}"
_COLLECTOR: Final = "{{connection}} {{collector}}"


def dashboard() -> str:
    """The dashboard as JSON."""
    return build(
        EXPORTER,
        "BullMQ / Exporter",
        "Is the exporter healthy and cheap?",
        [
            Row("Exporters", _exporters()),
            Row("Collection", _collection()),
            Row("Cost", _cost()),
        ],
        connections(),
        since="now-6h",
    )


def _exporters() -> list[Panel]:
    build_info = f"bullmq_exporter_build_info{_HERE}"
    fast = where(CONNECTION, 'collector!="discovery"')
    last = f"bullmq_exporter_collector_last_success_timestamp_seconds{fast}"
    return [
        stats(
            "Up",
            "Which exporters answer?",
            f"up{_HERE} and on (job, instance) last_over_time({build_info}[1h])",
            legend=_NAMED,
            mappings=thresholds.UP,
            no_value="no exporter",
            width=5,
        ),
        stats(
            "Configuration",
            "Was the last one that was read taken?",
            f"bullmq_exporter_config_last_reload_successful{_HERE}",
            legend=_NAMED,
            mappings=thresholds.IN_FORCE,
            no_value="no exporter",
            width=5,
        ),
        stats(
            "Version",
            "Which build?",
            build_info,
            legend="{{version}} on Python {{python_version}}",
            by_name=True,
            no_value="no exporter",
            width=5,
        ),
        stats(
            "Running for",
            "Did it restart?",
            f"time() - process_start_time_seconds{_HERE}",
            legend=_NAMED,
            unit="dtdurations",
            width=5,
        ),
        stats(
            "Oldest success",
            "Is a part of the data old? Of all collectors but discovery.",
            f"time() - min(max by (connection, collector) ({last}))",
            unit="s",
            steps=thresholds.STALE,
            decimals=0,
            width=4,
        ),
    ]


def _collection() -> list[Panel]:
    last = f"bullmq_exporter_collector_last_success_timestamp_seconds{_AT}"
    return [
        lines(
            "Collection time",
            "Which step is slow?",
            Query(f"bullmq_exporter_collector_duration_seconds{_AT}", _COLLECTOR),
            unit="s",
        ),
        lines(
            "Since the last success",
            "Is something stale?",
            Query(f"time() - {last}", _COLLECTOR),
            unit="s",
            limit=thresholds.STALE_SECONDS,
        ),
        lines(
            "Collectors that failed",
            "What fails now?",
            Query(f"1 - bullmq_exporter_collector_success{_AT}", _COLLECTOR),
            maximum=1,
            stepped=True,
        ),
        lines(
            "Errors by collector",
            "What kind of error?",
            Query(
                f"increase(bullmq_exporter_collector_errors_total{_AT}[{RATE}]) > 0",
                "{{connection}} {{collector}} {{error}}",
            ),
            no_value="No errors",
            bars=True,
        ),
        lines(
            "Reconnects",
            "Are connections lost?",
            Query(f"increase(bullmq_connection_reconnects_total{_AT}[{RATE}])", "{{connection}}"),
            bars=True,
        ),
        lines(
            "Left out by limits",
            "Is something not shown? queues.max and events.max_inflight.",
            Query(f"bullmq_exporter_queues_dropped{_AT}", "queues {{connection}} {{prefix}}"),
            Query(
                f"increase(bullmq_events_inflight_dropped_total{_AT}[{RATE}])",
                "starts forgotten {{connection}}",
            ),
        ),
    ]


def _cost() -> list[Panel]:
    return [
        lines(
            "Scrape duration",
            "Does a scrape near its timeout?",
            Query(f"scrape_duration_seconds{_HERE}", _NAMED),
            unit="s",
            width=5,
        ),
        lines(
            "Series",
            "Is cardinality under control?",
            Query(f"scrape_samples_scraped{_HERE}", _NAMED),
            width=5,
        ),
        lines(
            "CPU",
            "What does it cost? Cores.",
            Query(f"rate(process_cpu_seconds_total{_HERE}[{RATE}])", _NAMED),
            unit="percentunit",
            width=5,
        ),
        lines(
            "Memory",
            "Does it leak?",
            Query(f"process_resident_memory_bytes{_HERE}", _NAMED),
            unit="bytes",
            width=5,
        ),
        lines(
            "Open files",
            "Does it leak sockets?",
            Query(f"process_open_fds{_HERE}", _NAMED),
            width=4,
        ),
    ]
