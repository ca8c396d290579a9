"""Validates files with the published schemas of check-jsonschema."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner


def violations(schema: str, *files: Path) -> str:
    """The violations in these files; empty if they follow the schema."""
    # every process of the tests would import it, and all that it needs, to collect
    from check_jsonschema import main  # noqa: PLC0415 - as above

    arguments = ["--builtin-schema", f"vendor.{schema}", *map(str, files)]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    return "" if done.exit_code == 0 else done.output
