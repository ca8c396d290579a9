"""The charts of a queue's last hour, as coordinates for inline SVG. Pure: no I/O.

Rates are of a minute, as the page says, also where points are closer together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Final

from exporter.state.queue_history import HOUR_SECONDS, Point, QueueHistory
from exporter.views.formatting import UNKNOWN, age, number, rate

WIDTH: Final = 240
HEIGHT: Final = 48
_TREND_WIDTH: Final = 60
_TREND_HEIGHT: Final = 16
_TOP: Final = 2
"""Free space above the highest point, and below 0, for the width of the line."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A change of the verdict."""

    x: float
    time: float
    """Unix time."""
    reason: str
    """Empty if the queue was no longer blocked."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A line over the last hour: paths of an SVG image of `WIDTH` by `HEIGHT`."""

    title: str
    line: str
    """The path of the line, in pieces where something is unknown."""
    area: str
    """The path of the area below it."""
    now: str
    """The newest value, as text."""
    most: str
    """The highest value, as text."""
    is_known: bool
    """Whether there is any value."""
    known_share: float
    """The part of the hour that is known, 0 to 1."""

    @property
    def spoken(self) -> str:
        """The chart in words, for those who do not see it."""
        if not self.is_known:
            return f"{self.title} in the last hour: unknown"
        part = "" if self.known_share > 0.97 else f", {self.known_share:.0%} of the hour known"
        return f"{self.title} in the last hour: {self.now} now, at most {self.most}{part}"


_SHOWN: Final[tuple[tuple[str, str, Callable[[float | None], str]], ...]] = (
    ("ready", "Ready jobs", number),
    ("oldest_seconds", "Oldest ready job", age),
    ("added", "Added a minute", rate),
    ("completed", "Completed a minute", rate),
    ("failed", "Failed a minute", rate),
    ("workers", "Workers", number),
)


def charts(history: QueueHistory | None) -> list[Chart]:
    """A chart of each field of the points."""
    points = history.points if history is not None else ()
    offsets = _offsets(history) if history is not None else []
    columns = dict(zip(Point._fields, zip(*points, strict=True), strict=True)) if points else {}
    minute = max(1, 60 // history.step_seconds) if history is not None else 1
    return [
        _chart(title, _means(columns.get(name, ()), minute if text is rate else 1), offsets, text)
        for name, title, text in _SHOWN
    ]


def trend(history: QueueHistory | None) -> str:
    """The path of the ready jobs in the last hour, 60 wide and 16 high.

    A minute is a pixel, and shows the most of it; what is unknown is a gap. Empty if nothing was
    ready all the time.
    """
    if history is None:
        return ""
    minutes: dict[float, float] = {}
    for x, point in zip(_offsets(history), history.points, strict=True):
        minute = int(x * (_TREND_WIDTH - 1) / WIDTH)
        known = minutes.get(minute, nan)
        if x >= 0 and (isnan(known) or point.ready > known):
            minutes[minute] = point.ready
    most = max((each for each in minutes.values() if not isnan(each)), default=0.0)
    if not most:
        return ""
    low, high = _TREND_HEIGHT - 1, _TREND_HEIGHT - 2
    return "".join(
        f"M{' L'.join(f'{x} {low - high * ready / most:.0f}' for x, ready in piece)}h.1"
        for piece in _pieces(sorted(minutes.items()))
    )


def marks(history: QueueHistory | None, now: float) -> list[Mark]:
    """The changes of the verdict within the hour, oldest first; `now` is a Unix time."""
    changes = history.changes if history is not None else ()
    return [
        Mark(round(WIDTH * (1 - (now - each.time) / HOUR_SECONDS), 1), each.time, each.reason)
        for each in changes
    ]


def _means(values: Sequence[float], number: int) -> Sequence[float]:
    """Each value's mean with those before it, `number` together; an unknown one stays unknown."""
    if number == 1:
        return values
    found = []
    for place, value in enumerate(values):
        near = [each for each in values[max(0, place - number + 1) : place] if not isnan(each)]
        found.append((sum(near) + value) / (len(near) + 1))
    return found


def _offsets(history: QueueHistory) -> list[float]:
    """Where each point is, from left to right; those before the hour are left of 0."""
    newest, step = history.age_seconds, history.step_seconds
    last = len(history.points) - 1
    return [
        WIDTH * (1 - (newest + (last - place) * step) / HOUR_SECONDS)
        for place in range(len(history.points))
    ]


def _chart(
    title: str, values: Sequence[float], xs: Sequence[float], text: Callable[[float | None], str]
) -> Chart:
    shown = [(x, value) for x, value in zip(xs, values, strict=True) if x >= 0]
    known = [value for _, value in shown if not isnan(value)]
    most = max(known, default=0.0)
    line, area = "", ""
    for piece in _pieces(shown):
        path = [f"{x:.1f} {_y(value, most):.1f}" for x, value in piece]
        if len(path) == 1:  # a line needs two points
            path.append(path[0])
        line += f"M{' L'.join(path)}"
        area += f"M{piece[0][0]:.1f} {HEIGHT} L{' L'.join(path)} L{piece[-1][0]:.1f} {HEIGHT}Z"
    newest = values[-1] if values else float("nan")
    return Chart(
        title,
        line,
        area,
        UNKNOWN if isnan(newest) else text(newest),
        text(most) if known else UNKNOWN,
        bool(known),
        len(known) / len(shown) if shown else 0.0,
    )


def _pieces(shown: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """The runs of known points."""
    piece: list[tuple[float, float]] = []
    for x, value in shown:
        if not isnan(value):
            piece.append((x, value))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _y(value: float, most: float) -> float:
    """From 0 at the bottom; a line that is 0 all the time lies there."""
    return HEIGHT - _TOP - (HEIGHT - 2 * _TOP) * (value / most if most > 0 else 0.0)
