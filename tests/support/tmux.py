"""A terminal whose screen can be read: tmux with its own server, and a shell in it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.daemon import environment
from tests.support.requirements import require
from tests.support.waiting import LIMIT_SECONDS, wait_for

_PROMPT = "tests$"
_SHELL = f"exec env PS1='{_PROMPT} ' sh -i"


class Screen:
    """The screen of a shell in tmux, and its keyboard."""

    def __init__(self, program: str, width: int, height: int, **extra: str) -> None:
        size = ("-x", str(width), "-y", str(height))
        # a name of its own, and no configuration
        self._tmux = [program, "-L", f"bullmq-{uuid.uuid4().hex}", "-f", "/dev/null"]
        # the shell gets the environment of the server, and TERM from tmux
        self._environment = environment({"LANG": "C.UTF-8"} | extra)
        # without a status line, the window is as large as the terminal
        self._run("set-option", "-g", "status", "off", ";", "new-session", "-d", *size, _SHELL)
        self.wait(_PROMPT)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=True,
        )
        return done.stdout

    def lines(self) -> list[str]:
        """The lines on the screen, without blanks at their ends."""
        return self._run("capture-pane", "-p").splitlines()

    def text(self) -> str:
        """The screen."""
        return "\n".join(self.lines())

    def wait(self, *texts: str) -> list[str]:
        """Wait until all these texts are on the screen; returns its lines."""
        return self._wait(lambda lines: all(text in "\n".join(lines) for text in texts), texts)

    def wait_gone(self, text: str) -> list[str]:
        """Wait until this text is not on the screen; returns its lines."""
        return self._wait(lambda lines: text not in "\n".join(lines), f"no {text}")

    def _wait(self, condition: Callable[[list[str]], bool], what: object) -> list[str]:
        lines: list[str] = []

        def holds() -> bool:
            lines[:] = self.lines()
            return condition(lines)

        try:
            wait_for(holds, f"{what} on the screen")
        except AssertionError:
            print("\n".join(lines))
            raise
        return lines

    def press(self, *keys: str) -> None:
        """Press keys, by tmux' names for them."""
        self._run("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type characters."""
        self._run("send-keys", "-l", text)

    def start(self, *arguments: str) -> None:
        """Run the exporter's command in the shell."""
        self.run("-m", "exporter", *arguments)

    def run(self, *arguments: str) -> None:
        """Run Python in the shell."""
        self.type(f"clear; {shlex.join([sys.executable, *arguments])}")
        self.press("Enter")

    def colors(self) -> set[str]:
        """The escape sequences of colors on the screen."""
        found = self._run("capture-pane", "-p", "-e")
        return set(re.findall(r"\x1b\[[0-9;]*(?:3[0-7]|4[0-7]|9[0-7]|[34]8;[0-9;]+)m", found))

    def resize(self, width: int, height: int) -> None:
        """Change the size of the terminal."""
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def state(self) -> str:
        """Whether the alternate screen is shown and the cursor is visible, as `1 0`."""
        return self._run("display-message", "-p", "#{alternate_on} #{cursor_flag}").strip()

    def foreground(self) -> int:
        """The process that runs in the shell."""
        shell = int(self._run("display-message", "-p", "#{pane_pid}"))
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(shell)], capture_output=True, text=True, check=True
        )
        return int(found.stdout.split()[0])

    def settings(self) -> str:
        """The settings of the terminal, as `stty` prints them for itself."""
        self.type("clear; echo settings=$(stty -g)")
        self.press("Enter")
        pattern = re.compile(r"^settings=(\S+)$", re.MULTILINE)
        # -J joins the parts of a line that was wrapped
        found = wait_for(lambda: pattern.search(self._run("capture-pane", "-p", "-J")))
        return str(found[1])

    def close(self) -> None:
        """End the shell and what runs in it."""
        self._run("kill-server")


@contextmanager
def screen(width: int = 80, height: int = 24, **extra: str) -> Iterator[Screen]:
    """A terminal with a shell; the test is skipped without tmux."""
    opened = Screen(require("tmux"), width, height, **extra)
    try:
        yield opened
    finally:
        opened.close()
