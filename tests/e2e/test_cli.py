"""The command line: output and exit codes."""

from __future__ import annotations

import contextlib
import os
import platform
import pty
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from exporter import __version__
from tests.support.command import command, process
from tests.support.daemon import environment
from tests.support.pages import jobs, parse, value
from tests.support.proxy import Proxy
from tests.support.redis_data import add_queues
from tests.support.requirements import require
from tests.support.servers import Server, free_port
from tests.support.waiting import LIMIT_SECONDS

LIBRARIES = {"redis": "redis-py", "hiredis": "hiredis", "prometheus-client": "prometheus-client"}


def test_once_prints_a_page(server: Server) -> None:
    add_queues(server.client(), "mail")
    done = process("run", "--once", REDIS_URL=server.url)
    assert done.returncode == 0
    assert jobs(parse(done.stdout))[("mail", "waiting")] == 1


def test_once_fails_if_redis_is_unreachable() -> None:
    done = command("run", "--once", REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert value(parse(done.stdout), "bullmq_up") == 0
    assert "connection-test failed" in done.stderr


def test_config_prints_the_effective_configuration() -> None:
    done = command("config", REDIS_URL="redis://u:hunter2@h", PORT="80")
    assert done.returncode == 0
    assert "listen: 0.0.0.0:80\n" in done.stdout
    assert "url: redis://u:***@h:6379/0\n" in done.stdout


def test_config_check(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("poll: {interval_seconds: 5}\n")
    done = command("config", "--check", "--config", str(file))
    assert (done.returncode, done.stdout) == (0, f"{file} is valid\n")


def test_a_bad_configuration_exits_with_2(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("queues: {max: 0}\nconnections: {a: {url: 'redis://:hunter2@h/x'}}\n")
    for run, *arguments in (
        (command, "config", "--check"),
        (command, "run", "--once"),
        (process, "run"),
    ):
        done = run(*arguments, "--config", str(file))
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith(f"bullmq-exporter: 2 errors in {file}\n")
        assert "hunter2" not in done.stderr
        assert "Traceback" not in done.stderr


def test_the_shipped_configuration_is_valid() -> None:
    file = Path(__file__).parents[2] / "config.yaml"
    assert command("config", "--check", "--config", str(file)).returncode == 0


def test_version_and_help() -> None:
    lines = command("--version").stdout.splitlines()
    assert lines == [
        f"bullmq-exporter, version {__version__}",
        f"Python {platform.python_version()}",
        *(f"{shown} {version(name)}" for name, shown in LIBRARIES.items()),
    ]
    assert "run" in command("--help").stdout


def on_a_terminal(*arguments: str, **extra: str) -> str:
    """Everything that the command writes to a terminal."""
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [sys.executable, "-m", "exporter", *arguments],
        env=environment({"TERM": "xterm"} | extra),
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    sent = b""
    # the terminal of a process that has ended cannot be read on Linux
    with contextlib.suppress(OSError):
        while data := os.read(ours, 4096):
            sent += data
    os.close(ours)
    started.wait(timeout=LIMIT_SECONDS)
    return sent.decode()


RED = "\x1b[31m"
ERASED = "\r\x1b[1A\x1b[2K"
"""To the line above, which is erased."""


def test_blocked_queues_are_red_unless_no_color_is_set(server: Server, tmp_path: Path) -> None:
    add_queues(server.client(), "mail")
    file = tmp_path / "config.yaml"
    poll = "{interval_seconds: 0.5, blocked_after_seconds: 0.5}"
    file.write_text(f"connections: {{default: {{url: {server.url}}}}}\npoll: {poll}")
    look = ("queues", "--once", "--config", str(file))
    assert RED in on_a_terminal(*look)
    assert RED not in on_a_terminal(*look, NO_COLOR="1")


def test_progress_is_shown_on_a_terminal_and_erased(server: Server, tmp_path: Path) -> None:
    proxy = Proxy(server)
    proxy.hang = True
    file = tmp_path / "config.yaml"
    file.write_text(f"connections: {{a: {{url: '{proxy.url}', timeout_seconds: 2.5}}}}")
    sent = on_a_terminal("check", "--config", str(file))
    shown = sent.rindex("testing the connections")
    assert ERASED in sent[shown:]
    assert "NOT OK" in sent[shown:]


def test_bash_completes(tmp_path: Path) -> None:
    program = Path(sys.executable).parent
    script = """
    eval "$(_BULLMQ_EXPORTER_COMPLETE=bash_source bullmq-exporter)"
    complete -p bullmq-exporter
    COMP_WORDS=(bullmq-exporter qu) COMP_CWORD=1
    _bullmq_exporter_completion bullmq-exporter
    echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        [require("bash"), "-ec", script],
        env=environment({"PATH": f"{program}:/usr/bin:/bin"}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "queues"
