"""The command line: arguments, help, completion and exit codes."""

from exporter.cli.main import main

__all__ = ["main"]
