"""Which format and coding a client asks for, by RFC 9110, section 12.5.

prometheus_client's `choose_encoder` passes over quality values, which Prometheus sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from exporter.exposition.text import Format

_NAME: Final = r"[\w!#$%&'*+.^`|~-]+"
_MEDIA_RANGE: Final = re.compile(f"{_NAME}/{_NAME}", re.ASCII)
# looser than the standard: Java writes `q=.2`
_QUALITY: Final = re.compile(r"[01]?\.\d{1,9}|[01]\.?", re.ASCII)
_OPENMETRICS: Final = "application/openmetrics-text"
# the media type of each format, and the versions that are as good as ours
_OFFERS: Final = {
    Format.TEXT: ("text/plain", ("0.0.4",)),
    Format.OPENMETRICS: (_OPENMETRICS, ("1.0.0", "0.0.1")),
}


@dataclass(frozen=True, slots=True)
class _Range:
    """An entry of an Accept header."""

    media: str
    version: str | None
    quality: float
    place: int

    def closeness(self, media: str, versions: Sequence[str]) -> int:
        """0 where the media type is not in the range; more, the closer the range is to it."""
        if self.version is not None and self.version not in versions:
            return 0
        kinds = ("*/*", f"{media.partition('/')[0]}/*", media)
        if self.media not in kinds:
            return 0
        return 1 + kinds.index(self.media) + (self.version is not None)


def choose_format(accept: str) -> Format | None:
    """The format of an Accept header that has the highest quality; None where it allows neither.

    OpenMetrics is only given to those who name it, or who refuse the other.
    """
    ranges = _ranges(accept)
    if not ranges:
        return Format.TEXT
    found = {
        form: best
        for form, (media, versions) in _OFFERS.items()
        if (best := _closest(ranges, media, versions)) is not None and best.quality > 0
    }
    if Format.TEXT in found and found.get(Format.OPENMETRICS, found[Format.TEXT]).media != (
        _OPENMETRICS
    ):
        return Format.TEXT
    return max(found, key=lambda form: (found[form].quality, -found[form].place), default=None)


def acceptable(accept: str, media: str) -> bool:
    """Whether an Accept header allows a media type; one without any media range allows all."""
    ranges = _ranges(accept)
    best = _closest(ranges, media, ())
    return not ranges or (best is not None and best.quality > 0)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    codings = {coding: _quality(parameters) for coding, parameters in _entries(accept_encoding)}
    return codings.get("gzip", codings.get("*", 0.0)) > 0


def _ranges(accept: str) -> list[_Range]:
    """What is no media range is passed over, like a header that is not there."""
    return [
        _Range(media, parameters.get("version"), _quality(parameters), place)
        for place, (media, parameters) in enumerate(_entries(accept))
        if _MEDIA_RANGE.fullmatch(media)
    ]


def _closest(ranges: Sequence[_Range], media: str, versions: Sequence[str]) -> _Range | None:
    """The most specific range takes precedence (12.5.1); of equals, the best."""
    fitting = [(r.closeness(media, versions), r.quality, -r.place, r) for r in ranges]
    closeness, _, _, best = max(fitting, default=(0, 0.0, 0, None))
    return best if closeness else None


def _entries(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    for entry in header.split(","):
        media, *rest = (part.strip() for part in entry.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        yield media.lower(), {k.strip().lower(): v.strip(' "') for k, v in parameters.items()}


def _quality(parameters: dict[str, str]) -> float:
    """One that cannot be read is like one that is not there."""
    text = parameters.get("q", "1")
    return min(1.0, float(text)) if _QUALITY.fullmatch(text) else 1.0
