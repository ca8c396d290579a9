"""docs/configuration.md says what the loader does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config.loader import load
from exporter.config.reference import VARIABLES, DocumentedKey, groups, markdown

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, DocumentedKey] = {
    each.path: each for group in groups() for each in group.settings
}
TARGETS = {"targets": {"etl-*": {"wait_seconds": 14400}}}
SENTINEL = {"master": "m", "nodes": ["s:26379"]}


def leaves(data: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a configuration without sections under it, with `<name>` for a connection's."""
    names = {"connections": "<name>", "queues.targets": "<pattern>"}
    for key, value in data.items():
        here = f"{path}.{names.get(path, key)}".removeprefix(".")
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        else:
            yield here, value


def is_example(path: str) -> bool:
    return ".sentinel." in path or ".targets." in path


def in_force(**environ: str) -> dict[str, Any]:
    return dict(leaves(load(None, environ).model_dump(mode="json")))


def test_the_page_is_as_generated() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == markdown() + "\n"


def test_it_has_every_key_of_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    connection = {"url": "redis://h", "sentinel": SENTINEL}
    file.write_text(yaml.safe_dump({"connections": {"a": connection}, "queues": TARGETS}))
    assert set(dict(leaves(load(file, {}).model_dump(mode="json")))) == set(SETTINGS)


def test_the_example_has_every_key() -> None:
    example = yaml.safe_load((ROOT / "config.yaml").read_text())
    sections = {path.rpartition(".")[0] for path in SETTINGS}
    known = {path for path, _ in leaves(example)}
    assert known <= set(SETTINGS) | sections | {"queues.targets"}
    # a sentinel and a target are examples in comments, since they have no defaults
    assert {path for path in SETTINGS if not is_example(path)} <= known


def test_defaults_are_those_in_force() -> None:
    found = in_force()
    for path, setting in SETTINGS.items():
        if setting.default != "required" and not is_example(path):
            assert yaml.safe_load(setting.default.strip("`")) == found[path], path


@pytest.mark.parametrize("path", SETTINGS)
def test_a_setting_has_a_meaning_that_is_a_sentence(path: str) -> None:
    assert SETTINGS[path].meaning.endswith(".")
    assert len(SETTINGS[path].meaning) > 10


@pytest.mark.parametrize(
    ("path", "variable", "value"),
    [
        ("listen", "PORT", "81"),
        ("connections.<name>.url", "REDIS_URL", "redis://other"),
        ("connections.<name>.url", "REDIS_URL_API", "redis://other"),
    ],
)
def test_a_variable_sets_what_the_page_says(path: str, variable: str, value: str) -> None:
    assert variable.replace("API", "<NAME>") in VARIABLES[path]
    assert VARIABLES[path] in SETTINGS[path].meaning
    changed = in_force(**{variable: value})
    assert [key for key, now in in_force().items() if changed[key] != now] == [path]
