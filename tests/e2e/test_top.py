"""`bullmq-exporter top` on a terminal, driven by its keys."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.support.command import command
from tests.support.redis_data import add_queues
from tests.support.servers import Server, valkey
from tests.support.tmux import Screen, screen

NAMES = ("mail", "images", "日本語", "a-queue-with-a-name-that-does-not-fit-into-a-narrow-terminal")
FULL_SCREEN = "1 0"
"""The alternate screen, and no cursor."""
RESTORED = "0 1"
"""No alternate screen, and a visible cursor."""


@pytest.fixture
def config(server: Server, tmp_path: Path) -> Path:
    return _config(server, tmp_path)


def _config(server: Server, folder: Path) -> Path:
    client = server.client()
    add_queues(client, *NAMES, "hostile\x1b[2J[red]\n")
    client.rpush("bull:images:wait", *range(2, 9))
    file = folder / "config.yaml"
    poll = "{interval_seconds: 0.5, blocked_after_seconds: 1, stale_after_seconds: 2}"
    file.write_text(f"connections: {{default: {{url: {server.url}}}}}\npoll: {poll}")
    return file


@pytest.fixture
def terminal() -> Iterator[Screen]:
    # some environments export these, and they would not follow the terminal's size
    with screen(COLUMNS="80", LINES="24") as opened:
        yield opened


def names(lines: list[str]) -> list[str]:
    """The first word of each row; the table ends with a blank line, or with the screen."""
    rows = lines[3 : lines.index("") if "" in lines else -2]
    return [line[2:].split(" ")[0] for line in rows]


def test_the_keys(config: Path, terminal: Screen) -> None:
    """Appears, sorts, filters, shows a queue, follows the terminal's size, and quits."""
    before = terminal.settings()
    terminal.start("top", "--config", str(config), "--sort", "name")
    lines = terminal.wait("5 queues, 5 blocked", "✖ No worker connected: 5 queues", "q quit")
    assert names(lines)[:1] == ["a-queue-with-a-na…"]
    assert any("hostile?[2J[red]?" in line for line in lines)
    assert lines[0].endswith(" UTC")

    assert any("no worker is connected; start one" in line for line in lines[8:-2])
    terminal.press("f")
    terminal.wait("BullMQ  Findings", "  no worker is connected; start one", "Esc all queues")
    terminal.press("Escape")
    terminal.wait("1-5 of 5")

    terminal.press("s")
    lines = terminal.wait("sorted by ready")
    assert lines[3].startswith(">✖images")
    terminal.press("Down")
    terminal.wait("bull:a-queue-with-a-name-that")

    terminal.press("/")
    terminal.type("AIL")
    lines = terminal.wait("/AIL", "1 shown")
    assert names(lines) == ["mail"]
    terminal.press("Enter")
    terminal.wait("q quit", "filter AIL")
    terminal.press("Enter")
    terminal.wait("mail · default · bull", "Blocked by no workers", "waiting: 1", "The last hour")
    terminal.press("End")
    terminal.wait("kubectl exec", "LLEN bull:mail:wait")
    terminal.press("Escape")
    terminal.wait("1 shown")
    terminal.press("Escape")
    terminal.wait("1-5 of 5")

    terminal.resize(30, 12)
    lines = terminal.wait("READY OLDEST", "1-5 of 5")
    assert all(cell_len(line) <= 30 for line in lines)
    terminal.resize(200, 50)
    lines = terminal.wait("COMPLETED", NAMES[-1])
    assert lines[-1].startswith("q quit")
    assert lines[-1].endswith("1-5 of 5")

    terminal.press("q")
    terminal.wait("tests$")
    terminal.wait_gone("sorted by")
    assert terminal.state() == RESTORED
    assert terminal.settings() == before


def test_suspended_resumed_and_terminated(config: Path, terminal: Screen) -> None:
    before = terminal.settings()
    terminal.start("top", "--config", str(config))
    terminal.wait("5 blocked")
    assert terminal.state() == FULL_SCREEN
    terminal.press("C-z")
    terminal.wait("Stopped")
    assert terminal.state() == RESTORED
    terminal.type("fg")
    terminal.press("Enter")
    terminal.wait("5 blocked", "q quit")
    assert terminal.state() == FULL_SCREEN
    os.kill(terminal.foreground(), signal.SIGTERM)
    terminal.wait_gone("5 blocked")
    terminal.wait("tests$")
    assert terminal.state() == RESTORED
    assert terminal.settings() == before


def test_the_terminal_is_restored_after_an_exception(config: Path, terminal: Screen) -> None:
    before = terminal.settings()
    code = (
        "import sys, exporter.top.run as run; run.table_screen = lambda *_: 1 / 0; "
        "from exporter.cli import main; main(sys.argv[1:])"
    )
    terminal.run("-c", code, "top", "--config", str(config))
    terminal.wait("ZeroDivisionError", "tests$")
    assert terminal.state() == RESTORED
    assert terminal.settings() == before


def test_an_outage_is_said_and_logged_afterwards(tmp_path: Path, terminal: Screen) -> None:
    """The queues stay as they were last read."""
    with valkey() as server:
        terminal.start("queues", "--config", str(_config(server, tmp_path)))
        terminal.wait("5 queues, 5 blocked")
        server.kill()
        terminal.wait("✖ Redis unreachable", "0 blocked", "images", "as of", "q quit")
        assert "WARNING" not in terminal.text()
        terminal.press("q")
        terminal.wait("tests$", "REDIS lost connection=default")


def test_without_colors_until_ctrl_c(config: Path) -> None:
    with screen(NO_COLOR="1") as terminal:
        terminal.start("top", "--config", str(config))
        lines = terminal.wait("5 blocked", "no workers")
        assert lines[3].startswith(">✖")
        assert terminal.colors() == set()
        terminal.press("C-c")
        terminal.wait("tests$")
        assert terminal.state() == RESTORED


def test_without_a_terminal(server: Server) -> None:
    done = command("top", REDIS_URL=server.url)
    assert done.returncode == 2
    assert done.stderr == (
        "bullmq-exporter: top needs a terminal; use queues --once, or queues --watch\n"
    )
