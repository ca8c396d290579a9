"""The command line: what it prints and how it exits."""

from __future__ import annotations

from pathlib import Path

from exporter import __version__
from tests.contract.test_discovery import add
from tests.support.daemon import command
from tests.support.pages import jobs, parse, value
from tests.support.servers import Server, free_port


def test_once_prints_a_page(server: Server) -> None:
    add(server.client(), "mail")
    done = command("run", "--once", REDIS_URL=server.url)
    assert done.returncode == 0
    assert jobs(parse(done.stdout))[("mail", "waiting")] == 1


def test_once_fails_where_redis_is_not_there() -> None:
    done = command("run", "--once", REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert value(parse(done.stdout), "bullmq_up") == 0
    assert "connection-test failed" in done.stderr


def test_config_prints_what_is_in_force() -> None:
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
    for arguments in (("config", "--check"), ("run",), ("run", "--once")):
        done = command(*arguments, "--config", str(file))
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith(f"bullmq-exporter: 2 errors in {file}\n")
        assert "hunter2" not in done.stderr
        assert "Traceback" not in done.stderr


def test_the_shipped_configuration_is_valid() -> None:
    file = Path(__file__).parents[2] / "config.yaml"
    assert command("config", "--check", "--config", str(file)).returncode == 0


def test_version_and_help() -> None:
    assert command("--version").stdout == f"bullmq-exporter, version {__version__}\n"
    assert "run" in command("--help").stdout
