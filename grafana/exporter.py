"""BullMQ / Exporter: is the exporter healthy and cheap?"""

from __future__ import annotations

from typing import Final

from exporter.rules.alerts import EXPORTER
from grafana import thresholds
from grafana.panels import Panel, Query, Row, build, lines, stats
from grafana.promql import CHOSEN, CONNECTION, RATE, of_exporters, per_job, where
from grafana.variables import connections

# these panels are about exporters, not queues: each instance is a separate series
_INSTANCES: Final = where(CHOSEN)
_CONNECTIONS: Final = where(CONNECTION)
_INSTANCE_LEGEND: Final = "{{instance}} ({{job}})"
_COLLECTOR_LEGEND: Final = "{{connection}} {{collector}} ({{job}})"


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
    fast = where(CONNECTION, 'collector!="discovery"')
    last = f"bullmq_exporter_collector_last_success_timestamp_seconds{fast}"
    return [
        stats(
            "Up",
            "Which exporters can Prometheus scrape?",
            of_exporters(f"up{_INSTANCES}"),
            legend=_INSTANCE_LEGEND,
            mappings=thresholds.UP,
            no_value="no exporter",
            width=5,
        ),
        stats(
            "Configuration",
            "Did the last reload succeed?",
            f"bullmq_exporter_config_last_reload_successful{_INSTANCES}",
            legend=_INSTANCE_LEGEND,
            mappings=thresholds.RELOADED,
            no_value="no exporter",
            width=5,
        ),
        stats(
            "Version",
            "Which version is running?",
            f"bullmq_exporter_build_info{_INSTANCES}",
            legend="{{version}} on Python {{python_version}} ({{job}})",
            by_name=True,
            no_value="no exporter",
            width=5,
        ),
        stats(
            "Uptime",
            "Did the exporter restart?",
            of_exporters(f"time() - process_start_time_seconds{_INSTANCES}"),
            legend=_INSTANCE_LEGEND,
            unit="dtdurations",
            width=5,
        ),
        stats(
            "Oldest success",
            "Is any data stale? The oldest success of all collectors except discovery.",
            f"time() - {per_job('min', f'max by (job, connection, collector) ({last})')}",
            unit="s",
            steps=thresholds.STALE,
            decimals=0,
            width=4,
        ),
    ]


def _collection() -> list[Panel]:
    last = f"bullmq_exporter_collector_last_success_timestamp_seconds{_CONNECTIONS}"
    return [
        lines(
            "Collection duration",
            "Which collector is slow?",
            Query(f"bullmq_exporter_collector_duration_seconds{_CONNECTIONS}", _COLLECTOR_LEGEND),
            unit="s",
        ),
        lines(
            "Time since last success",
            "Is any data stale?",
            Query(f"time() - {last}", _COLLECTOR_LEGEND),
            unit="s",
            limit=thresholds.STALE_SECONDS,
        ),
        lines(
            "Failing collectors",
            "Which collectors fail now?",
            Query(f"1 - bullmq_exporter_collector_success{_CONNECTIONS}", _COLLECTOR_LEGEND),
            maximum=1,
            stepped=True,
        ),
        lines(
            "Errors by collector",
            "Which errors occur?",
            Query(
                f"increase(bullmq_exporter_collector_errors_total{_CONNECTIONS}[{RATE}]) > 0",
                "{{connection}} {{collector}} {{error}} ({{job}})",
            ),
            no_value="No errors",
            bars=True,
        ),
        lines(
            "Refused commands",
            "Which data is missing because Redis refuses commands?",
            Query(f"bullmq_exporter_collector_refused_commands{_CONNECTIONS}", _COLLECTOR_LEGEND),
            stepped=True,
        ),
        lines(
            "Pages not rendered",
            "Is the metrics page incomplete because of a bug?",
            Query(
                f"increase(bullmq_exporter_render_failures_total{_INSTANCES}[{RATE}])",
                _INSTANCE_LEGEND,
            ),
            bars=True,
        ),
        lines(
            "Reconnections",
            "Are connections lost?",
            Query(
                f"increase(bullmq_connection_reconnects_total{_CONNECTIONS}[{RATE}])",
                "{{connection}} ({{job}})",
            ),
            bars=True,
            width=12,
        ),
        lines(
            "Dropped by limits",
            "Is data missing because of a limit, its size, or its cost?",
            Query(
                f"bullmq_exporter_queues_dropped{_CONNECTIONS}",
                "queues {{connection}} {{prefix}} ({{job}})",
            ),
            Query(
                f"increase(bullmq_exporter_inflight_jobs_dropped_total{_CONNECTIONS}[{RATE}])",
                "jobs in flight {{connection}} ({{job}})",
            ),
            Query(
                f"increase(bullmq_exporter_collector_oversized_total{_CONNECTIONS}[{RATE}])",
                "oversized values {{connection}} {{collector}} ({{job}})",
            ),
            Query(
                f"increase(bullmq_exporter_stuck_looks_cut_total{_CONNECTIONS}[{RATE}])",
                "looks at stuck jobs {{connection}} ({{job}})",
            ),
            Query(
                f"bullmq_exporter_history_skipped_queues{_INSTANCES}",
                f"queues without history {_INSTANCE_LEGEND}",
            ),
            width=12,
        ),
    ]


def _cost() -> list[Panel]:
    return [
        lines(
            "Scrape duration",
            "Are scrapes close to the timeout?",
            Query(of_exporters(f"scrape_duration_seconds{_INSTANCES}"), _INSTANCE_LEGEND),
            unit="s",
            width=4,
        ),
        lines(
            "Series",
            "Is cardinality under control?",
            Query(of_exporters(f"scrape_samples_scraped{_INSTANCES}"), _INSTANCE_LEGEND),
            width=4,
        ),
        lines(
            "CPU",
            "How many CPU cores does it use?",
            Query(
                of_exporters(f"rate(process_cpu_seconds_total{_INSTANCES}[{RATE}])"),
                _INSTANCE_LEGEND,
            ),
            unit="percentunit",
            width=4,
        ),
        lines(
            "Memory",
            "Does it leak memory?",
            Query(of_exporters(f"process_resident_memory_bytes{_INSTANCES}"), _INSTANCE_LEGEND),
            Query(
                f"bullmq_exporter_history_bytes{_INSTANCES}",
                f"history of queues {_INSTANCE_LEGEND}",
            ),
            unit="bytes",
            width=4,
        ),
        lines(
            "Open files",
            "Does it leak sockets?",
            Query(of_exporters(f"process_open_fds{_INSTANCES}"), _INSTANCE_LEGEND),
            width=4,
        ),
        lines(
            "Limited shares of Redis' time",
            "How much do the search for queues and looks at stuck jobs take?",
            Query(
                f"rate(bullmq_exporter_discovery_redis_seconds_total{_CONNECTIONS}[{RATE}])",
                "{{connection}} queues ({{job}})",
            ),
            Query(
                f"rate(bullmq_exporter_stuck_looks_redis_seconds_total{_CONNECTIONS}[{RATE}])",
                "{{connection}} stuck jobs ({{job}})",
            ),
            unit="percentunit",
            width=4,
        ),
    ]
