"""The command line: arguments, help, completion and exit codes."""

from exporter.cli.commands import main

__all__ = ["main"]
