"""Generates docs/cli.md from the commands."""

from __future__ import annotations

from collections.abc import Iterator

import click

from exporter.cli.help_text import COMMAND_HELP, Example
from exporter.cli.main import main

_HEAD = """\
# Command line

Generated from `exporter/cli` by `make docs`. `bullmq-exporter COMMAND --help` shows the same.

## Exit codes

2 means the same for every command: the configuration or the command line is invalid. Standard error
has the details.

| command | 0 | 1 |
| --- | --- | --- |"""

_TAIL = """\
## Completion

Completes commands, options, alerts, their settings and connection names. For bash:

```sh
eval "$(_BULLMQ_EXPORTER_COMPLETE=bash_source bullmq-exporter)"
```

For zsh, after `compinit`:

<!-- not run: zsh -->
```sh
eval "$(_BULLMQ_EXPORTER_COMPLETE=zsh_source bullmq-exporter)"
```

For fish:

<!-- not run: fish -->
```sh
_BULLMQ_EXPORTER_COMPLETE=fish_source bullmq-exporter | source
```

Add the line to the shell's startup file, or save its output in a file that the startup file reads.

## On a terminal

`top`, and `queues` without `--once`, `--watch` and `--json`, fill the screen; the last line says
what each key does. [Its manual](operations.md#on-a-terminal).

Blocked queues are red, unless `NO_COLOR` is set (see [no-color.org](https://no-color.org)).
Operations that take longer than a second show a progress line on standard error. A file or a pipe
gets neither.

`--version` also shows the versions of Python and of the Redis and Prometheus client libraries;
include it in bug reports."""

_NOT_RUN = {"demo": "demo", "top": "top"}
"""Why the documentation's tests do not run a command's examples, by command."""


def markdown() -> str:
    """docs/cli.md."""
    rows = [
        f"| `{name}` | {help_text.success} | {help_text.failure or 'not used'} |"
        for name, help_text in COMMAND_HELP.items()
    ]
    sections = [line for name in COMMAND_HELP for line in _section(name, main.commands[name])]
    return "\n".join([_HEAD, *rows, *sections, "", _TAIL])


def _section(name: str, command: click.Command) -> Iterator[str]:
    yield from ("", f"## {name}", "", " ".join((command.help or "").split()), "")
    yield from ("| option | default | meaning |", "| --- | --- | --- |")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield _row(parameter)
    for example in COMMAND_HELP[name].examples:
        yield from _example(name, example)


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{each}`" for each in option.opts)
    if not option.is_flag:
        names += f" `{option.make_metavar(click.Context(main))}`".replace("|", r"\|")
    default = f"`{option.default}`" if option.show_default else ""
    meaning = (option.help or "").replace("<", "&lt;")
    if option.show_envvar:
        meaning += f" Environment: `{option.envvar}`."
    return f"| {names} | {default} | {meaning} |"


def _example(name: str, example: Example) -> Iterator[str]:
    yield from ("", example.purpose, "")
    mark = "stays" if example.runs_until_stopped else ""
    if name in _NOT_RUN:
        mark = f"not run: {_NOT_RUN[name]}"
    if mark:
        yield f"<!-- {mark} -->"
    yield from ("```sh", example.command, "```")
