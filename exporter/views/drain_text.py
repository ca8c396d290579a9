"""When the backlog of a queue is gone, in sentences. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from exporter.views.formatting import UNKNOWN, age, counted
from exporter.views.scaling import Scaling


@dataclass(frozen=True, slots=True)
class DrainText:
    """What becomes of a backlog, in sentences."""

    answer: str
    workers: str
    rests_on: str


def drain_text(scaling: Scaling, target_seconds: float) -> DrainText:
    """When the backlog is gone, how many workers that takes, and what both rest on."""
    load, outlook = scaling.load, scaling.outlook
    drain, needed = outlook.drain_seconds, outlook.workers_needed
    if drain is None:
        answer = "Unknown."
    elif not load.ready:
        answer = "There is none."
    else:
        answer = "Never, at this rate." if drain == inf else f"In {age(drain)}, at this rate."
    if load.obstacle is not None:
        workers = f"More workers do not help: {load.obstacle.value.replace('_', ' ')}."
    elif needed is None:
        workers = ""
    else:
        does = "keeps up and clears" if needed == 1 else "keep up and clear"
        workers = f"{counted(needed, 'worker')} {does} it within {age(target_seconds)}."
    return DrainText(answer, workers, _rests_on(scaling))


def _rests_on(scaling: Scaling) -> str:
    """The numbers behind the answer."""
    load, outlook, trend = scaling.load, scaling.outlook, scaling.trend
    if trend is None:
        return "The queue was not watched long enough to know its rates."
    rests = f"From the last {age(trend.seconds)}"
    if outlook.finish_rate is not None:
        rests += f": {_rate(outlook.arrival_rate)} jobs arrive and {_rate(outlook.finish_rate)} "
        rests += "finish a second"
    if trend.workers:
        number = f"{trend.workers:.3g}"
        rests += f", with {number} worker{'' if number == '1' else 's'} on average"
    if load.mean_run_seconds is not None:
        rests += f"; a run takes {load.mean_run_seconds:.3g} s on average"
    return f"{rests}."


def _rate(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3g}"
