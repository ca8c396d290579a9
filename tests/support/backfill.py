"""Gives a real Prometheus the past of an exporter, so that hours of alerts take seconds to test."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.pages import Samples
from tests.support.prometheus import Prometheus, prometheus
from tests.support.requirements import require

STEP_SECONDS = 60
"""Time between two pages."""
Pages = Sequence[tuple[float, Samples]]
"""Pages with their Unix times, `STEP_SECONDS` apart."""


@contextlib.contextmanager
def backfilled(folder: Path, jobs: Mapping[str, Pages], rules: str) -> Iterator[Prometheus]:
    """A Prometheus that has scraped these pages by job, and evaluated the recording rules.

    It scrapes nothing itself. Times are multiples of `STEP_SECONDS`; what a recording rule gives is
    up to a step old. How old depends on the name of the rules' file, which is therefore always the
    same: promtool omits a rule in the last second before an even hour, which would be a gap.
    """
    require("prometheus")
    history, data = folder / "history.txt", folder / "data"
    with history.open("w") as lines:
        for job, pages in jobs.items():
            for at, samples in pages:
                lines.writelines(_lines(job, at, samples))
        lines.write("# EOF\n")
    _promtool(folder, "openmetrics", str(history), str(data))
    # a series that is no longer on a page ends there, as in a scrape; Prometheus evaluates rules
    # at any moment of a step
    lookback = f"--query.lookback-delta={STEP_SECONDS * 1000 - 1}ms"
    (folder / "recordings.yml").write_text(rules)
    times = [at for pages in jobs.values() for at, _ in pages]
    with prometheus(folder, {}, "", lookback) as running:
        _promtool(
            folder,
            "rules",
            *(f"--start={min(times):.0f}", f"--end={max(times):.0f}"),
            *(f"--eval-interval={STEP_SECONDS}s", f"--output-dir={data}"),
            *(f"--url=http://127.0.0.1:{running.port}", "recordings.yml"),
        )
    with prometheus(folder, {}, "", lookback) as running:
        yield running


def _promtool(folder: Path, source: str, *arguments: str) -> None:
    """Write blocks of the past from this source; paths in the arguments begin in the folder."""
    command = [require("promtool"), "tsdb", "create-blocks-from", source, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _lines(job: str, at: float, samples: Samples) -> Iterator[str]:
    for (name, labels), value in samples.items():
        every = {**dict(labels), "job": job, "instance": job}
        text = ",".join(f"{label}={json.dumps(each)}" for label, each in every.items())
        yield f"{name}{{{text}}} {value!r} {at:.0f}\n"
