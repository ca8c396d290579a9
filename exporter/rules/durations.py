"""PromQL for histograms, whichever kind Prometheus has.

A histogram is a series for each bucket (`name_bucket` with the label `le`), or one series (`name`):
a native histogram, or one that Prometheus made of the buckets
(`convert_classic_histograms_to_nhcb`). Each expression has both, of which one is empty; where
Prometheus keeps both, the classic one counts.

Two exporters of the same Redis expose the same values. `max` over instances ignores native
histograms, so each instance has its quantile, and the largest one is taken.
"""

from __future__ import annotations


def quantile(q: float, histogram: str, by: str, matchers: str = "", window: str = "5m") -> str:
    """A quantile of the last `window` for each `by`: of the instance where it is largest."""
    rates = f"rate({histogram}_bucket{matchers}[{window}])"
    classic = f"histogram_quantile({q:g}, sum by ({by}, instance, le) ({rates}))"
    rates = f"rate({histogram}{matchers}[{window}])"
    native = f"histogram_quantile({q:g}, sum by ({by}, instance) ({rates}))"
    return f"max by ({by}) ({classic} or {native})"


def per_second(histogram: str, by: str, matchers: str = "", window: str = "5m") -> str:
    """Observations per second for each `by`: of the instance where there are most."""
    classic = f"rate({histogram}_count{matchers}[{window}])"
    native = f"histogram_count(rate({histogram}{matchers}[{window}]))"
    return f"max by ({by}) (sum by ({by}, instance) ({classic} or {native}))"


def distribution(histogram: str, by: str, same: str, matchers: str = "", window: str = "5m") -> str:
    """The rates of the buckets for each `by`: by `le`, or as native histograms.

    `same` are the labels that two exporters of the same Redis have in common. Of buckets, the
    larger rate counts; of native histograms, which have no maximum, the average.
    """
    rates = f"rate({histogram}_bucket{matchers}[{window}])"
    classic = f"max by ({same}, le) (sum by ({same}, instance, le) ({rates}))"
    rates = f"rate({histogram}{matchers}[{window}])"
    native = f"avg by ({same}) (sum by ({same}, instance) ({rates}))"
    return f"sum by ({by}, le) ({classic}) or on ({by}) sum by ({by}) ({native})"
