"""Runs a local Prometheus with the alert rules, and, if it is installed, Alertmanager with the
example's configuration."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from exporter.findings.alertmanager import alertmanager_config
from exporter.rules import ALERTS, rules_file, scaled

_SPEED: Final = 20
"""Factor by which alerts fire earlier than in production."""
_MAX_WAIT_SECONDS: Final = 20
"""No alert waits longer than this."""
_READY_SECONDS: Final = 20.0


class MissingProgramError(Exception):
    """A requested program is not installed or does not start; the message says which."""


@contextlib.contextmanager
def local_prometheus(exporters: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run both for the exporters, given as `host:port` by job.

    Yields, by name, their URLs or how to install them. Raises `MissingProgramError`.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise MissingProgramError(
            "prometheus is not installed; install it (Debian: apt-get install prometheus) "
            "or omit --prometheus"
        )
    with contextlib.ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="bullmq-exporter-")))
        alertmanager = parts.enter_context(_alertmanager(folder))
        address = _free_address()
        config = _prometheus_config(exporters, alertmanager)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (folder / "rules.yml").write_text(rules_file(scaled(ALERTS, 1 / _SPEED, _MAX_WAIT_SECONDS)))
        arguments = [
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/prometheus",
            f"--web.listen-address={address}",
        ]
        parts.enter_context(_running(program, arguments, address, folder))
        yield {
            "Prometheus": f"http://{address}/alerts",
            "Alertmanager": (
                f"http://{alertmanager}/"
                if alertmanager is not None
                else "not installed; install it (Debian: apt-get install prometheus-alertmanager)"
            ),
        }


@contextlib.contextmanager
def _alertmanager(folder: Path) -> Iterator[str | None]:
    """Run Alertmanager. Yields its address; None if it is not installed."""
    # the first name is Debian's
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        yield None
        return
    file = folder / "alertmanager.yml"
    # its receivers are empty, so it needs nothing else
    file.write_text(alertmanager_config())
    address = _free_address()
    arguments = [
        f"--config.file={file}",
        f"--storage.path={folder}/alertmanager",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with _running(program, arguments, address, folder):
        yield address


def _prometheus_config(exporters: Mapping[str, str], alertmanager: str | None) -> dict[str, Any]:
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "2s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [exporter]}]}
            for job, exporter in exporters.items()
        ],
    }
    if alertmanager is not None:
        target = {"static_configs": [{"targets": [alertmanager]}]}
        config["alerting"] = {"alertmanagers": [target]}
    return config


@contextlib.contextmanager
def _running(program: str, arguments: list[str], address: str, folder: Path) -> Iterator[None]:
    log = folder / f"{Path(program).name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            # its own session, so that Ctrl-C reaches only the demo, which then stops it
            [program, *arguments],
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, address, log)
        yield
    finally:
        # its data is deleted, so it needs no time to write it
        process.kill()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://{address}/-/ready", timeout=1).close()
            return
        time.sleep(0.1)
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise MissingProgramError(f"{log.stem} does not start: {''.join(last) or 'no output'}")


def _free_address() -> str:
    """A free loopback port instead of the standard one, so that several demos can run at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        return f"{host}:{port}"
