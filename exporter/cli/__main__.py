"""`python -m exporter.cli` prints docs/cli.md."""

from exporter.cli.document import markdown

print(markdown())  # noqa: T201 - this is the module's output
