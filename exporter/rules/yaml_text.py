"""Writes rules as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Indents lists and folds nothing, so that one line of PromQL stays one line."""

    # the signature, with its positional flags, is PyYAML's; `indentless` is what this overrides
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, indentless=False)


def yaml_text(*documents: Mapping[str, Any]) -> str:
    """One or more documents."""
    return yaml.dump_all(
        [dict(each) for each in documents],
        Dumper=_Dumper,
        sort_keys=False,
        width=100_000,
        allow_unicode=True,
    )
