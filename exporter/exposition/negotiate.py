"""Which format and coding a client asks for.

prometheus_client's `choose_encoder` passes over quality values, which Prometheus sends.
"""

from __future__ import annotations

from exporter.exposition.text import Format


def choose_format(accept: str) -> Format:
    """The format of an Accept header that has the highest quality; plain text where none has.

    OpenMetrics is only given to those who name it.
    """
    best, quality = Format.TEXT, 0.0
    for media, parameters in _entries(accept):
        form = _format(media, parameters)
        if form is not None and _quality(parameters) > quality:
            best, quality = form, _quality(parameters)
    return best


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    return any(
        coding in ("gzip", "*") and _quality(parameters) > 0
        for coding, parameters in _entries(accept_encoding)
    )


def _format(media: str, parameters: dict[str, str]) -> Format | None:
    version = parameters.get("version")
    if media == "application/openmetrics-text" and version in (None, "1.0.0", "0.0.1"):
        return Format.OPENMETRICS
    if media in ("text/plain", "text/*", "*/*") and version in (None, "0.0.4"):
        return Format.TEXT
    return None


def _entries(header: str) -> list[tuple[str, dict[str, str]]]:
    entries = []
    for entry in header.split(","):
        media, *rest = (part.strip() for part in entry.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        entries.append((media.lower(), {k.lower(): v.strip('"') for k, v in parameters.items()}))
    return entries


def _quality(parameters: dict[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
