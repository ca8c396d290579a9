"""Help, shell completion and progress lines of the command line."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from exporter.cli import main
from exporter.cli.help_text import COMMAND_HELP
from exporter.cli.reference import markdown
from exporter.rules import ALERTS
from exporter.terminal.progress import Progress
from tests.support.commands import exporter_commands
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(main.commands)


def completed(*words: str, **environ: str) -> list[str]:
    """The completions that the shell would offer for the last word."""
    variables = {
        "_MAIN_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["main", *words]),
        "COMP_CWORD": str(len(words)),
    }
    found = CliRunner(env=variables | environ).invoke(main, prog_name="main")
    return [line.partition(",")[2] for line in found.stdout.splitlines() if line]


def test_every_command_has_help() -> None:
    assert sorted(COMMAND_HELP) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_exit_codes_and_options(name: str) -> None:
    text = CliRunner().invoke(main, [name, "--help"], terminal_width=80).output
    assert all(each.command in text for each in COMMAND_HELP[name].examples)
    codes = re.findall(r"^    (\d)  \w", text[text.index("Exit codes:") :], re.MULTILINE)
    assert [int(code) for code in codes] == list(COMMAND_HELP[name].exit_codes)
    for option in main.commands[name].params:
        assert isinstance(option, click.Option)
        assert option.help, option.opts


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_in_help_parse(name: str) -> None:
    for example in COMMAND_HELP[name].examples:
        ((command, *arguments),) = exporter_commands(example.command)
        assert command == name
        main.commands[name].make_context(name, arguments)


def test_command_summaries_are_whole_sentences() -> None:
    text = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    for name in COMMANDS:
        assert re.search(rf"^  {name} .*\.$", text, re.MULTILINE), name
        assert not re.search(rf"^  {name} .*\.\.\.$", text, re.MULTILINE), name
    for command, *arguments in exporter_commands(re.sub(r"\.\.\. ?", "redis://h ", text)):
        main.commands[command].make_context(command, arguments)


def test_docs_cli_is_up_to_date() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == markdown() + "\n", "run make docs"


class TestCompletion:
    def test_commands(self) -> None:
        assert completed("c") == ["check", "config"]

    def test_options(self) -> None:
        assert completed("queues", "--b") == ["--blocked"]

    def test_alerts(self) -> None:
        assert completed("rules", "--without", "NoW") == ["NoWorkers"]
        assert completed("rules", "--without", "") == [alert.name for alert in ALERTS]

    def test_settings(self) -> None:
        assert completed("rules", "--set", "NoWorkers.") == [
            "NoWorkers.severity=",
            "NoWorkers.for=",
        ]

    def test_connections_from_the_environment(self) -> None:
        urls = {"REDIS_URL_API": "redis://a", "REDIS_URL_WORKER": "redis://b"}
        assert completed("check", "--connection", "", **urls) == ["api", "worker"]

    def test_connections_from_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "config.yaml"
        file.write_text("connections: {mail: {url: 'redis://h'}}")
        assert completed("check", "--config", str(file), "--connection", "m") == ["mail"]
        file.write_text("connections: 5")
        assert completed("check", "--config", str(file), "--connection", "m") == []


class Terminal(io.StringIO):
    """A terminal that records its output."""

    def isatty(self) -> bool:
        return True


ERASED = "\x1b[2K"
SHOWN = "\x1b[?25h"
"""The cursor is visible."""


class TestProgress:
    @pytest.fixture(autouse=True)
    def _terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm")

    def test_the_line_is_updated_and_finally_erased(self) -> None:
        screen = Terminal()
        with Progress("waiting [x]", screen, after=0.01) as progress:
            wait_for(lambda: "waiting [x]" in screen.getvalue())
            progress.set_text("still there")
            wait_for(lambda: "still there" in screen.getvalue())
            wait_for(lambda: SHOWN in screen.getvalue())
            with progress.quiet():
                assert screen.getvalue().endswith(ERASED)
            wait_for(lambda: not screen.getvalue().endswith(ERASED))
        assert screen.getvalue().endswith(ERASED)

    def test_short_work_shows_nothing(self) -> None:
        screen = Terminal()
        with Progress("waiting", screen, after=60) as progress, progress.quiet():
            pass
        assert screen.getvalue() == ""

    @pytest.mark.parametrize(("screen", "term"), [(io.StringIO(), "xterm"), (Terminal(), "dumb")])
    def test_nothing_is_shown_if_a_line_cannot_be_erased(
        self, screen: io.StringIO, term: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", term)
        progress = Progress("waiting", screen, after=0)
        with progress, progress.quiet():
            pass
        assert screen.getvalue() == ""

    def test_a_log_line_replaces_the_progress_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        screen = Terminal()
        handler = logging.StreamHandler(screen)
        monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
        with Progress("waiting", screen, after=0.01):
            wait_for(lambda: "waiting" in screen.getvalue())
            logging.getLogger("test").warning("a log line")
            wait_for(lambda: screen.getvalue().rindex("waiting") > screen.getvalue().index("a log"))
        assert f"{ERASED}a log line\n" in screen.getvalue()
        assert handler.filters == []
