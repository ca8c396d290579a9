"""`python -m exporter.cli` prints docs/cli.md."""

from exporter.cli.reference import markdown

print(markdown())  # noqa: T201 - this is the module's output
