"""The profile of a run, by the number of inputs that all targets get together."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

_SHORT: Final = 2_000

LONG: Final = "FUZZ_INPUTS" in os.environ
TOTAL: Final = int(os.environ.get("FUZZ_INPUTS", _SHORT))


def fuzz(share: float) -> settings:
    """The settings of a target that gets that share, in per cent, of the inputs.

    As for the whole suite (tests/conftest.py), but that a long run tries others each time.
    """
    return settings(
        settings.get_profile("suite"),
        max_examples=max(20, round(TOTAL * share / 100)),
        derandomize=not LONG,
        suppress_health_check=list(HealthCheck),
    )
