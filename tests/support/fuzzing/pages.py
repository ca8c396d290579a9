"""Checks pages with the official parsers, fast enough for thousands of pages."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from exporter.exposition import Format, Page, Variant
from tests.support.pages import parse
from tests.support.protobuf_pages import samples_of

_FORMS = ((Format.TEXT, "text"), (Format.OPENMETRICS, "openmetrics"))
_known: set[str] = set()
"""Lines that were parsed before; a sample does not depend on other lines."""
_turns = count()


def check_page(page: Page) -> None:
    """Parse every new line, and every hundredth page as a whole in all formats."""
    if next(_turns) % 100 == 0:
        for form, name in _FORMS:
            parse(page.body(Variant(form, gzip=False)).decode(), form=name)
        samples_of(page.body(Variant(Format.PROTOBUF, gzip=False)))
    lines = page.body(Variant(Format.TEXT, gzip=False)).decode().split("\n")
    samples = [line for line in lines if line and not line.startswith("#")]
    series = [line.rpartition(" ")[0] for line in samples]
    assert len(set(series)) == len(series), "a series appears twice"
    new = [line for line in samples if line not in _known]
    assert len(parse("\n".join([*new, ""]))) == len(new)
    _known.update(_short(new))


def _short(lines: list[str]) -> Iterator[str]:
    if len(_known) > 100_000:
        _known.clear()
    return iter(lines)
