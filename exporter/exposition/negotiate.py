"""Content negotiation (RFC 9110, section 12.5): which format and coding a client accepts.

prometheus_client's `choose_encoder` ignores quality values, which Prometheus sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from exporter.exposition.formats import Format

_NAME: Final = r"[\w!#$%&'*+.^`|~-]+"
_MEDIA_RANGE: Final = re.compile(f"{_NAME}/{_NAME}", re.ASCII)
# more lenient than the standard: Java clients send `q=.2`
_QUALITY: Final = re.compile(r"[01]?\.\d{1,9}|[01]\.?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A media type, and the values of its parameters that a request may name."""

    media: str
    parameters: Mapping[str, Sequence[str]] = field(default_factory=dict)


_OFFERS: Final = {
    Format.TEXT: _Offer("text/plain", {"version": ("0.0.4",)}),
    Format.OPENMETRICS: _Offer("application/openmetrics-text", {"version": ("1.0.0", "0.0.1")}),
    Format.PROTOBUF: _Offer(
        "application/vnd.google.protobuf",
        {"proto": ("io.prometheus.client.metricfamily",), "encoding": ("delimited",)},
    ),
}


@dataclass(frozen=True, slots=True)
class _MediaRange:
    """An entry of an Accept header."""

    media: str
    parameters: Mapping[str, str]
    quality: float
    place: int

    def closeness(self, offer: _Offer) -> int:
        """How specifically the range matches the media type; 0 if it does not match."""
        named = [name for name in offer.parameters if name in self.parameters]
        if any(self.parameters[name].lower() not in offer.parameters[name] for name in named):
            return 0
        kinds = ("*/*", f"{offer.media.partition('/')[0]}/*", offer.media)
        if self.media not in kinds:
            return 0
        return 1 + kinds.index(self.media) + bool(named)


def choose_format(accept: str) -> Format | None:
    """The format that the Accept header prefers; None if it accepts none.

    Protobuf is chosen only if the header names it, OpenMetrics only if the header names it or
    excludes the text format.
    """
    ranges = _ranges(accept)
    if not ranges:
        return Format.TEXT
    accepted = {
        form: best
        for form, offer in _OFFERS.items()
        if (best := _closest(ranges, offer)) is not None and best.quality > 0
    }
    for form in (Format.PROTOBUF, Format.OPENMETRICS):
        named = form in accepted and accepted[form].media == _OFFERS[form].media
        if not named and (form is Format.PROTOBUF or Format.TEXT in accepted):
            accepted.pop(form, None)
    return max(
        accepted, key=lambda form: (accepted[form].quality, -accepted[form].place), default=None
    )


def acceptable(accept: str, media: str) -> bool:
    """Whether an Accept header accepts a media type; one without media ranges accepts anything."""
    ranges = _ranges(accept)
    best = _closest(ranges, _Offer(media))
    return not ranges or (best is not None and best.quality > 0)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header accepts gzip."""
    codings = {coding: _quality(parameters) for coding, parameters in _entries(accept_encoding)}
    return codings.get("gzip", codings.get("*", 0.0)) > 0


def _ranges(accept: str) -> list[_MediaRange]:
    """The header's media ranges. Invalid ones are ignored; a missing header has none."""
    return [
        _MediaRange(media, parameters, _quality(parameters), place)
        for place, (media, parameters) in enumerate(_entries(accept))
        if _MEDIA_RANGE.fullmatch(media)
    ]


def _closest(ranges: Sequence[_MediaRange], offer: _Offer) -> _MediaRange | None:
    """The most specific matching range (12.5.1); among equals, the one with the best quality."""
    candidates = [(r.closeness(offer), r.quality, -r.place, r) for r in ranges]
    closeness, _, _, best = max(candidates, default=(0, 0.0, 0, None))
    return best if closeness else None


def _entries(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    for entry in header.split(","):
        media, *rest = (part.strip() for part in entry.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        yield media.lower(), {k.strip().lower(): v.strip(' "') for k, v in parameters.items()}


def _quality(parameters: dict[str, str]) -> float:
    """The quality value; 1 if it is missing or invalid."""
    text = parameters.get("q", "1")
    return min(1.0, float(text)) if _QUALITY.fullmatch(text) else 1.0
