"""The command line as documentation, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

from exporter.cli.help_text import COMMAND_HELP, Example
from exporter.cli.main import main

_HEAD = """\
# Command line

Generated from `exporter/cli` by `make docs`. `bullmq-exporter COMMAND --help` has the same, with
examples.

## Exit codes

2 is the same for all: the configuration or the command line is wrong, and standard error says
what.

| command | 0 | 1 |
| --- | --- | --- |"""

_TAIL = """\
## Completion

Commands, options, alerts, their settings and the names of connections, for bash:

```sh
eval "$(_BULLMQ_EXPORTER_COMPLETE=bash_source bullmq-exporter)"
```

for zsh, after `compinit`:

<!-- not run: zsh -->
```sh
eval "$(_BULLMQ_EXPORTER_COMPLETE=zsh_source bullmq-exporter)"
```

and for fish:

<!-- not run: fish -->
```sh
_BULLMQ_EXPORTER_COMPLETE=fish_source bullmq-exporter | source
```

Put the line into the shell's start file, or its output into a file that is read there.

## On a terminal

Queues that are blocked are red, unless `NO_COLOR` is set to anything, as at
[no-color.org](https://no-color.org). What takes longer than a second says so in a line on standard
error that goes away when it is over. Into a file or a pipe, neither is written.

`--version` also tells the versions of Python and of the libraries that speak with Redis and
Prometheus; add it to a report of a problem."""

_RUN_ELSEWHERE = {"demo": "demo"}
"""Why the documentation's tests do not run the examples of a command."""


def markdown() -> str:
    """docs/cli.md."""
    rows = [
        f"| `{name}` | {lesson.well} | {lesson.failed or 'not used'} |"
        for name, lesson in COMMAND_HELP.items()
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
    yield from ("", example.what, "")
    mark = "stays" if example.stays else ""
    if name in _RUN_ELSEWHERE:
        mark = f"not run: {_RUN_ELSEWHERE[name]}"
    if mark:
        yield f"<!-- {mark} -->"
    yield from ("```sh", example.command, "```")
