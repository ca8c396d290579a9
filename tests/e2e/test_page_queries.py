"""Queries of the pages on series that the live tests do not have, evaluated by promtool.

tests/e2e/test_dashboards_live.py evaluates every query on live data.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support.commands import ROOT, blocks
from tests.support.metrics_page import QUERIES
from tests.support.requirements import require


def evaluated(
    folder: Path, expr: str, series: dict[str, str], expected: list[dict[str, Any]]
) -> None:
    """Fail unless the query has these samples, two hours after the series have begun."""
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": "2h", "exp_samples": expected}],
    }
    (folder / "test.yml").write_text(yaml.safe_dump({"tests": [test]}))
    command = [require("promtool"), "test", "rules", str(folder / "test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_servers_that_hide_their_identity_are_not_the_same(tmp_path: Path) -> None:
    """Without INFO, the label `run_id` of every server is empty."""
    owners = {"api": "api", "mail": "mail", "worker": "api"}
    series = {
        f'bullmq_connection_info{{connection="{name}", database="{owner}", run_id=""}}': "1x120"
        for name, owner in owners.items()
    }
    evaluated(
        tmp_path,
        QUERIES["Connections that reach the same database of the same server"],
        series,
        [{"labels": '{database="api"}', "value": 2}],
    )


def test_a_bucket_of_a_thousand_seconds_is_not_one_of_ten(tmp_path: Path) -> None:
    """Prometheus 2 keeps `10`, Prometheus 3 writes `10.0`."""
    queue = 'connection="api", prefix="bull", queue="mail", job_name=""'
    name = "bullmq_queue_job_wait_seconds"
    evaluated(
        tmp_path,
        QUERIES["The share of the last hour's jobs that started within ten seconds"],
        {
            f'{name}_bucket{{{queue}, le="10"}}': "0+1x120",
            f'{name}_bucket{{{queue}, le="1000"}}': "0+4x120",
            f"{name}_count{{{queue}}}": "0+4x120",
        },
        [{"labels": '{connection="api", prefix="bull", queue="mail"}', "value": 0.25}],
    )


def test_queues_of_two_servers_with_one_name_are_two(tmp_path: Path) -> None:
    labels = 'prefix="bull", queue="mail", job_name=""'
    series = {}
    for connection, failed in (("api", 1), ("batch", 3)):
        queue = f'{{connection="{connection}", {labels}}}'
        series[f"bullmq_queue_jobs_failed_total{queue}"] = f"0+{failed}x120"
        series[f"bullmq_queue_jobs_completed_total{queue}"] = f"0+{4 - failed}x120"
    evaluated(
        tmp_path,
        QUERIES["The share of jobs that failed in the last hour"],
        series,
        [
            {
                "labels": f'{{connection="{connection}", prefix="bull", queue="mail"}}',
                "value": share,
            }
            for connection, share in (("api", 0.25), ("batch", 0.75))
        ],
    )


def test_job_names_of_two_instances_add_up_once(tmp_path: Path) -> None:
    """With `events.job_names`, a queue has a counter of each name."""
    (query,) = [
        block.text
        for block in blocks(ROOT / "docs" / "operations.md")
        if block.language == "promql" and "rate(bullmq_queue_jobs_completed_total" in block.text
    ]
    queue = 'connection="api", prefix="bull", queue="mail"'
    name = "bullmq_queue_jobs_completed_total"
    series = {
        f'{name}{{instance="{instance}", {queue}, job_name="{job}"}}': "0+60x120"
        for instance in ("a", "b")
        for job in ("welcome", "invoice")
    }
    evaluated(tmp_path, query, series, [{"labels": '{queue="mail"}', "value": 2}])
