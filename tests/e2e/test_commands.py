"""The commands of README.md and docs/ are run: the quick start as a whole, others one by one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from tests.support.commands import ROOT, Block, all_blocks, section
from tests.support.daemon import daemon
from tests.support.dist import python, run
from tests.support.redis_data import add_queues
from tests.support.requirements import beside_python, node_modules, require
from tests.support.servers import Server, free_port, redis_server
from tests.support.waiting import LIMIT_SECONDS, wait_for

QUICK_START = ROOT / "docs" / "quickstart.md"
TOOLS = (
    "bash",
    "cat",
    "curl",
    "grep",
    "jq",
    "node",
    "prometheus",
    "promtool",
    "redis-cli",
    "sleep",
)
_WAITS = 5
"""A script waits several times: for the exporter, for Prometheus, for alerts."""
ONE_BY_ONE = [b for b in all_blocks("sh") if b.page != QUICK_START and not b.reason]

INSTEAD_OF_DOCKER = f"""
run="uvx --from bullmq-exporter[fast] bullmq-exporter"
$run run 2> exporter.log &
$run rules --set NoWorkers.for=2s > bullmq.rules.yml
sed -e '/^alerting:/,/^$/d' -e 's/: 15s/: 1s/' -e 's/exporter:9538/localhost:9538/' \
  {ROOT}/deploy/compose/prometheus.yml > prometheus.yml
prometheus --config.file=prometheus.yml --web.listen-address=localhost:9090 2> prometheus.log &
firing='ALERTS{{alertname="BullMQNoWorkers", queue="quickstart", alertstate="firing"}}'
curl --silent --fail --retry 10 --retry-connrefused --retry-all-errors localhost:9090/-/ready
until promtool query instant http://localhost:9090 "$firing" | grep quickstart; do sleep 1; done
"""
"""What the compose file starts, with its configuration of Prometheus, and the alert."""


LAST_STEP = "### 5. Make an alert fire"
PAUSE = ": > paused; until [ -e continued ]; do sleep 0.1; done\n"


def steps(path: str, last: str = "") -> str:
    """The commands of one path of the quick start; they pause before the step `last`."""
    found = section(QUICK_START, path)
    pause = QUICK_START.read_text().splitlines().index(last) if last else None
    commands = [
        (block.line, INSTEAD_OF_DOCKER if block.reason == "docker" else block.text)
        for block in found
    ]
    if pause is None:
        return "".join(text for _, text in commands)
    before = [text for line, text in commands if line < pause]
    after = [text for line, text in commands if line > pause]
    assert before
    assert after
    return "".join([*before, PAUSE, *after])


@dataclass
class QuickStart:
    """A path of the quick start: its folder, Redis, environment and ports."""

    folder: Path
    server: Server
    environment: dict[str, str]
    ports: dict[str, int]

    def localized(self, text: str) -> str:
        """The commands with this test's ports."""
        for standard, port in self.ports.items():
            text = re.sub(rf"\b(localhost|127\.0\.0\.1):{standard}\b", rf"\1:{port}", text)
        return text


@dataclass
class Paused:
    """The shell of a quick start that pauses before its last step."""

    start: QuickStart
    process: subprocess.Popen[str]

    def reach_pause(self) -> None:
        """Returns when all commands before the last step have succeeded."""
        paused = self.start.folder / "paused"
        wait_for(lambda: paused.exists() or self.process.poll() is not None, "the last step")
        assert paused.exists(), self._printed("stdout") + self._printed("stderr")

    def finish(self) -> str:
        """Do the last step, if that has not been done; returns what all commands print."""
        (self.start.folder / "continued").touch()
        code = self.process.wait(timeout=_WAITS * LIMIT_SECONDS)
        assert code == 0, self._printed("stdout") + self._printed("stderr")
        assert error_lines(self._printed("stderr")) == []
        return self._printed("stdout")

    def close(self) -> None:
        """End the shell, and what it has started."""
        self.process.terminate()
        self.process.wait()

    def _printed(self, stream: str) -> str:
        return (self.start.folder / stream).read_text()


def environment(folder: Path, dist: Path, port: int) -> dict[str, str]:
    """An environment with a new home folder, python3, the tools, and Node with bullmq."""
    programs, modules = folder / "bin", folder / "node_modules"
    programs.mkdir()
    modules.mkdir()
    write_substitutes(programs, dist)
    # as pnpm installs a service that does not itself depend on ioredis
    (modules / "bullmq").symlink_to(node_modules() / "bullmq6")
    # package sources, and what a Python outside the system's paths needs
    kept = ("UV_", "SSL_CERT_", "LD_LIBRARY_PATH")
    passed = {name: value for name, value in os.environ.items() if name.startswith(kept)}
    tools = {str(Path(require(tool)).parent) for tool in TOOLS}
    path = ":".join([str(programs), *sorted(tools - {str(Path(sys.executable).parent)})])
    return passed | {
        "HOME": str(folder),
        "PATH": path,
        "PORT": str(port),
        "NODE_PATH": str(modules),
        "UV_CACHE_DIR": run([beside_python("uv"), "cache", "dir"]).strip(),
    }


def write_substitutes(programs: Path, dist: Path) -> None:
    """Replace `python3 -m venv` and `pip` by uv, which is twenty times as fast.

    pip and uvx find the exporter in `dist`.
    """
    uv, base = beside_python("uv"), python()
    venv = f'[ "$1 $2" = "-m venv" ] && shift 2 && exec {uv} venv --quiet --python {base} "$@"'
    scripts = {
        "python3": f'{venv}\nexec {base} "$@"\n',
        "pip": f'exec {uv} pip "$@" --find-links {dist}\n',
        "uvx": f'exec {uv} tool run --quiet --python {base} --find-links {dist} "$@"\n',
    }
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}")
        (programs / name).chmod(0o755)


def words(script: str) -> list[str]:
    """A shell that stops at the script's first failure, and then everything that it started."""
    ending = "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n"
    return ["bash", "-emc", ending + script]


def bash(script: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    return subprocess.run(
        words(script),
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=_WAITS * LIMIT_SECONDS,
        check=False,
    )


@contextlib.contextmanager
def paused(start: QuickStart, script: str, env: dict[str, str]) -> Iterator[Paused]:
    """Run a script that pauses, up to there."""
    with (start.folder / "stdout").open("w") as out, (start.folder / "stderr").open("w") as err:
        process = subprocess.Popen(
            words(script), cwd=start.folder, env=env, stdout=out, stderr=err, text=True
        )
    shell = Paused(start, process)
    try:
        shell.reach_pause()
        yield shell
    finally:
        shell.close()


def error_lines(stderr: str) -> list[str]:
    """What a user would see on standard error, but for a placeholder that a release replaces."""
    expected = ("bash: ", "warning: runbook links begin with the placeholder")
    return [line for line in stderr.splitlines() if not line.startswith(expected)]


@pytest.fixture(scope="module")
def on_a_host(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paused]:
    """The quick start on a host, up to the step that makes an alert fire."""
    folder = tmp_path_factory.mktemp("quick_start")
    ports = {"9538": free_port(), "9090": free_port()}
    env = environment(folder, dist, ports["9538"])
    # a new queue is on the page two polls after the signal; the path with Node has the default
    often = env | {"BULLMQ_POLL_INTERVAL_SECONDS": "1"}
    with redis_server() as server:
        add_queues(server.client(), "mail")
        start = QuickStart(folder, server, env, ports | {"6379": server.port})
        script = start.localized(steps("On a host", last=LAST_STEP))
        with paused(start, script, often) as shell:
            yield shell


def test_the_quick_start_leads_to_a_firing_alert(on_a_host: Paused) -> None:
    output = on_a_host.finish()
    assert re.search(r"^OK: Redis reached, ", output, re.MULTILINE)
    assert 'bullmq_queue_size{connection="default",prefix="bull",queue="mail"' in output
    firing = [line for line in output.splitlines() if "alertname=" in line]
    assert len(firing) == 1
    assert 'alertname="BullMQNoWorkers"' in firing[0]
    assert 'queue="quickstart"' in firing[0]


def test_the_quick_start_cleans_up(on_a_host: Paused) -> None:
    on_a_host.finish()
    assert on_a_host.start.server.client().keys("bull:quickstart*") == []
    assert on_a_host.start.server.client().exists("bull:mail:wait")
    assert "for: 5m" in (on_a_host.start.folder / "bullmq.rules.yml").read_text()


def test_the_path_with_node_leads_to_a_firing_alert(dist: Path, tmp_path: Path) -> None:
    ports = {"9538": free_port(), "9090": free_port()}
    env = environment(tmp_path, dist, ports["9538"])
    with redis_server() as server:
        here = QuickStart(tmp_path, server, env, ports | {"6379": server.port})
        done = bash(here.localized(steps("With Node")), tmp_path, env)
        left = server.client().keys("bull:quickstart*")
    assert done.returncode == 0, done.stdout + done.stderr
    assert error_lines(done.stderr) == []
    assert re.search(r"^OK: Redis reached, ", done.stdout, re.MULTILINE)
    verdict = "No worker connected: bull:quickstart on default (1 pending)"
    assert verdict in done.stdout.splitlines()
    assert verdict in QUICK_START.read_text()
    assert 'alertstate="firing"' in done.stdout
    assert left == []


@pytest.fixture(scope="module")
def installed(on_a_host: Paused, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickStart]:
    """The quick start's installation, beside a running exporter."""
    quick_start = on_a_host.start
    bin_folder = quick_start.folder / "exporter-venv" / "bin"
    env = quick_start.environment | {
        "PATH": f"{bin_folder}:{quick_start.environment['PATH']}",
        "REDIS_URL": quick_start.server.url,
    }
    folder = tmp_path_factory.mktemp("beside")
    with daemon(folder, REDIS_URL=quick_start.server.url) as running:
        yield replace(
            quick_start,
            folder=folder,
            environment=env,
            ports=quick_start.ports | {"9538": running.port},
        )


@pytest.mark.parametrize("block", ONE_BY_ONE, ids=str)
def test_a_block_runs(installed: QuickStart, block: Block, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    run_block = run_until_ready if block.stays else run_until_exit
    run_block(block.text, replace(installed, folder=tmp_path))


def run_until_exit(text: str, here: QuickStart) -> None:
    done = bash(here.localized(text), here.folder, here.environment)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert not re.search(r"^(curl|jq|node):|^\(error\)|^ERR|\bError\b", output, re.MULTILINE), (
        output
    )


def run_until_ready(text: str, here: QuickStart) -> None:
    """Run a block that runs until it is stopped."""
    port = free_port()
    localized = replace(here, ports=here.ports | {"9538": port}).localized(text)
    log = here.folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-ec", localized],
            cwd=here.folder,
            env=here.environment | {"PORT": str(port)},
            process_group=0,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: _ready(port, process, log), f"ready: {log}")
        os.killpg(process.pid, signal.SIGTERM)
        code = process.wait(timeout=LIMIT_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert code in (0, -signal.SIGTERM), log.read_text()


def _ready(port: int, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


PROMETHEUS = [
    block
    for block in all_blocks("yaml")
    if yaml.safe_load(block.text).keys()
    & {"scrape_configs", "rule_files", "metric_relabel_configs"}
]


@pytest.mark.parametrize("block", PROMETHEUS, ids=str)
def test_prometheus_snippets_are_valid(block: Block, tmp_path: Path) -> None:
    data = yaml.safe_load(block.text)
    if "metric_relabel_configs" in data:
        data = {"scrape_configs": [{"job_name": "bullmq"} | data]}
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(data))
    command = [require("promtool"), "check", "config", "--syntax-only", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
