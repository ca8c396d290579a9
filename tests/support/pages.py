"""Reading pages as Prometheus' own parsers do."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(page: str, *, form: str = "text") -> Samples:
    """(name, labels) → value. Fails on a page that the official parser refuses, or a repeat."""
    families = list(text(page) if form == "text" else openmetrics(page))
    samples: Samples = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, f"a series twice: {key}"
            samples[key] = sample.value
    return samples


def value(samples: Samples, name: str, **labels: str) -> float | None:
    """The one sample of that name that has these labels among its own; None if there is none."""
    found = every(samples, name, **labels)
    assert len(found) < 2, f"{name} {labels} is not one series but {len(found)}"
    return next(iter(found.values()), None)


def every(samples: Samples, name: str, **labels: str) -> Samples:
    """All samples of that name that have these labels among their own."""
    wanted = set(labels.items())
    return {key: v for key, v in samples.items() if key[0] == name and wanted <= key[1]}


def jobs(samples: Samples, **labels: str) -> dict[tuple[str, str], int]:
    """(queue, state) → jobs."""
    found = every(samples, "bullmq_queue_jobs", **labels)
    return {
        (dict(key[1])["queue"], dict(key[1])["state"]): int(count) for key, count in found.items()
    }
