"""A real Prometheus or VictoriaMetrics for tests, and their API."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from tests.support.requirements import require
from tests.support.servers import free_port
from tests.support.waiting import wait_for

Series = tuple[dict[str, str], float]

PROMETHEUS = "prometheus"
"""The machine's own, today 2.42."""
NEWEST_PROMETHEUS = "prometheus-newest"
"""The newest that there is for the tests, today 3.5."""
PROMTOOLS = ("promtool", "promtool-newest")


@dataclass(frozen=True)
class Prometheus:
    """The API of a Prometheus or VictoriaMetrics on a local port."""

    port: int

    def get(self, what: str, **parameters: str) -> Any:
        """The `data` of an API response. Fails with Prometheus's own message."""
        query = urllib.parse.urlencode(parameters)
        address = f"http://127.0.0.1:{self.port}/api/v1/{what}?{query}"
        try:
            with urllib.request.urlopen(address) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it is still starting
                raise
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expr: str, at: float | None = None) -> list[Series]:
        """The result of an instant query, now or at a Unix time in seconds."""
        when = {} if at is None else {"time": f"{at:.3f}"}
        found = self.get("query", query=expr, **when)["result"]
        return [(row["metric"], float(row["value"][1])) for row in found]

    def query_range(
        self, expr: str, start: float, end: float, step: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """The result of a range query: Unix times and values of each series."""
        found = self.get(
            "query_range", query=expr, start=f"{start:.3f}", end=f"{end:.3f}", step=f"{step}"
        )["result"]
        return [
            (row["metric"], [(float(at), float(value)) for at, value in row["values"]])
            for row in found
        ]

    def value(self, expr: str) -> float | None:
        """The only value of an instant query; None if the result is empty."""
        found = self.query(expr)
        assert len(found) < 2, found
        return found[0][1] if found else None


@contextlib.contextmanager
def prometheus(
    folder: Path,
    jobs: Mapping[str, Sequence[int]],
    rules: str = "",
    *arguments: str,
    program: str = PROMETHEUS,
    protocols: Mapping[str, str] = MappingProxyType({}),
    scraping: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[Prometheus]:
    """Scrape these local ports of each job every second, and evaluate these rules as often.

    `protocols` names the only format that a job asks for, which Prometheus 2.42 does not know;
    `scraping` has more settings for all jobs.
    """
    config = _scraping(jobs)
    config["global"] |= scraping
    for job in config["scrape_configs"]:
        if job["job_name"] in protocols:
            job["scrape_protocols"] = [protocols[job["job_name"]]]
    if rules:
        (folder / "rules.yml").write_text(rules)
        config["rule_files"] = ["rules.yml"]
        config["global"]["evaluation_interval"] = "1s"
    with configured(folder, config, *arguments, program=program) as started:
        yield started


@contextlib.contextmanager
def configured(
    folder: Path, config: Mapping[str, Any], *arguments: str, program: str = PROMETHEUS
) -> Iterator[Prometheus]:
    """Run with this configuration, whose targets are static; paths in it begin in the folder."""
    path = require(program)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    words = [
        path,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        *arguments,
    ]
    with _scraped(words, folder, port, _targets(config)) as started:
        yield started


@contextlib.contextmanager
def victoria_metrics(folder: Path, jobs: Mapping[str, Sequence[int]]) -> Iterator[Prometheus]:
    """Scrape these local ports of each job every second, without rules: vmalert evaluates them."""
    path = require("victoria-metrics")
    (folder / "scrape.yml").write_text(yaml.safe_dump(_scraping(jobs)))
    port = free_port()
    words = [
        path,
        f"-promscrape.config={folder}/scrape.yml",
        f"-storageDataPath={folder}/data",
        f"-httpListenAddr=127.0.0.1:{port}",
        # a query sees the newest scrape, and never an answer from before
        *("-search.latencyOffset=0s", "-search.disableCache"),
    ]
    with _scraped(words, folder, port, sum(map(len, jobs.values()))) as started:
        yield started


def _scraping(jobs: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": job,
                "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
            }
            for job, ports in jobs.items()
        ],
    }


def _targets(config: Mapping[str, Any]) -> int:
    """Number of static targets."""
    return sum(
        len(group["targets"]) for job in config["scrape_configs"] for group in job["static_configs"]
    )


@contextlib.contextmanager
def _scraped(words: Sequence[str], folder: Path, port: int, targets: int) -> Iterator[Prometheus]:
    """Run the program. Yields it when every target has been scraped, and kills it at the end."""
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        started = Prometheus(port)
        wait_for(lambda: scraped(started, targets), f"every target is scraped: {folder}")
        yield started
    finally:
        process.kill()
        process.wait()


def scraped(prometheus: Prometheus, targets: int) -> bool:
    try:
        return (prometheus.value("sum(up)") or 0) == targets
    except OSError:
        return False
