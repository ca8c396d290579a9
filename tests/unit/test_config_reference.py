"""docs/configuration.md matches the loader."""

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
SLOS = [{"match": "mail*", "start_within": "30s", "objective": 99.5}]
TARGETS = {"targets": {"etl-*": {"wait_seconds": 14400}}}
SENTINEL = {"master": "m", "nodes": ["s:26379"]}


def leaves(data: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf key of a configuration with its value; `<name>` stands for a connection's name,
    and `[]` for the entries of a list.
    """
    names = {"connections": "<name>", "queues.targets": "<pattern>"}
    for key, value in data.items():
        here = f"{path}.{names.get(path, key)}".removeprefix(".")
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from leaves(value[0], f"{here}[]")
        else:
            yield here, value


def is_example(path: str) -> bool:
    return ".sentinel." in path or ".targets." in path or path.startswith("slos[]")


def effective(**environ: str) -> dict[str, Any]:
    return dict(leaves(load(None, environ).model_dump(mode="json")))


def test_docs_configuration_is_up_to_date() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == markdown() + "\n", "run make docs"


def test_the_reference_has_every_key(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    connection = {"url": "redis://h", "sentinel": SENTINEL}
    content = {"connections": {"a": connection}, "queues": TARGETS, "slos": SLOS}
    file.write_text(yaml.safe_dump(content))
    assert set(dict(leaves(load(file, {}).model_dump(mode="json")))) == set(SETTINGS)


def test_the_example_has_every_key() -> None:
    example = yaml.safe_load((ROOT / "config.yaml").read_text())
    sections = {path.rpartition(".")[0] for path in SETTINGS}
    known = {path for path, _ in leaves(example)}
    assert known <= set(SETTINGS) | sections | {"queues.targets", "slos"}
    # sentinel, targets and SLOs have no defaults, so they are commented examples
    missing = {path for path in SETTINGS if not is_example(path)} - known
    assert not missing, "add it to config.yaml"


def test_documented_defaults_are_effective() -> None:
    found = effective()
    for path, setting in SETTINGS.items():
        if setting.default != "required" and not is_example(path):
            assert yaml.safe_load(setting.default.strip("`")) == found[path], path


@pytest.mark.parametrize("path", SETTINGS)
def test_a_setting_is_described_in_a_sentence(path: str) -> None:
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
def test_a_variable_sets_only_its_documented_key(path: str, variable: str, value: str) -> None:
    assert variable.replace("API", "<NAME>") in VARIABLES[path]
    assert VARIABLES[path] in SETTINGS[path].meaning
    changed = effective(**{variable: value})
    assert [key for key, now in effective().items() if changed[key] != now] == [path]
