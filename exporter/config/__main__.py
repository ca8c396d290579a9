"""`python -m exporter.config` prints docs/configuration.md."""

from exporter.config.reference import markdown

print(markdown())  # noqa: T201 - this is the module's output
