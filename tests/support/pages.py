"""Parses metrics pages with the official parsers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text
from prometheus_client.samples import Sample

Series = tuple[str, frozenset[tuple[str, str]]]
"""Name and labels."""
Samples = dict[Series, float]

_HELP = "# HELP "


def parse(page: str, *, form: str = "text") -> Samples:
    """Values by name and labels. Fails if the official parser rejects the page, or on repeats."""
    found = _text(page) if form == "text" else _openmetrics(page)
    samples: Samples = {}
    for series, number in found:
        assert series not in samples, f"a series twice: {series}"
        samples[series] = number
    return samples


def _openmetrics(page: str) -> Iterator[tuple[Series, float]]:
    """Parse the page as a whole, because OpenMetrics has rules across families and an end."""
    for family in openmetrics(page):
        yield from _series(family.samples)


def _text(page: str) -> Iterator[tuple[Series, float]]:
    """Parse each family separately: most of them are cached from the previous page."""
    first, *others = page.split(f"\n{_HELP}")
    yield from _family(first)
    for family in others:
        yield from _family(_HELP + family)


@lru_cache(maxsize=10_000)
def _family(lines: str) -> tuple[tuple[Series, float], ...]:
    """The samples of one family."""
    return tuple(one for family in text(lines) for one in _series(family.samples))


def _series(samples: Iterable[Sample]) -> Iterator[tuple[Series, float]]:
    for sample in samples:
        yield (sample.name, frozenset(sample.labels.items())), sample.value


def value(samples: Samples, name: str, **labels: str) -> float | None:
    """The value of the only sample with this name and these labels; None if there is none."""
    found = every(samples, name, **labels)
    assert len(found) < 2, f"{name} {labels} is not one series but {len(found)}"
    return next(iter(found.values()), None)


def every(samples: Samples, name: str, **labels: str) -> Samples:
    """All samples with this name and these labels."""
    expected = set(labels.items())
    return {key: v for key, v in samples.items() if key[0] == name and expected <= key[1]}


def jobs(samples: Samples, **labels: str) -> dict[tuple[str, str], int]:
    """Number of jobs by queue and state."""
    found = every(samples, "bullmq_queue_size", **labels)
    return {
        (dict(key[1])["queue"], dict(key[1])["state"]): int(count) for key, count in found.items()
    }
