"""The exporter in its own process, queried over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.pages import Samples, parse
from tests.support.servers import free_port
from tests.support.waiting import LIMIT_SECONDS, wait_for

_CLEAN = ("REDIS_URL", "PORT", "BULLMQ_EXPORTER_CONFIG")


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment without variables that configure the exporter, plus `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_CLEAN)}
    return kept | dict(extra)


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Daemon:
    """A running exporter."""

    process: subprocess.Popen[str]
    port: int
    log_file: Path
    context: ssl.SSLContext | None = None
    """If set, requests use HTTPS."""

    @property
    def url(self) -> str:
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.port}"

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self.url}{path}", headers=named, method=method)
        start = time.perf_counter()
        try:
            with urllib.request.urlopen(
                request, timeout=LIMIT_SECONDS, context=self.context
            ) as response:
                body = response.read()
                return Answer(response.status, response.headers, body, time.perf_counter() - start)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read(), time.perf_counter() - start)

    def samples(self) -> Samples:
        return parse(self.get("/metrics").text)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=LIMIT_SECONDS)


@contextlib.contextmanager
def daemon(
    folder: Path,
    config: str | None = None,
    *,
    context: ssl.SSLContext | None = None,
    listen: str = "127.0.0.1",
    port: int = 0,
    **extra: str,
) -> Iterator[Daemon]:
    """Run `bullmq-exporter run`. Yields it once it is ready, and stops it at the end."""
    port = port or free_port()
    arguments = [sys.executable, "-m", "exporter", "run", "--listen", f"{listen}:{port}"]
    if config is not None:
        file = folder / "config.yaml"
        file.write_text(config)
        arguments += ["--config", str(file)]
    with started(arguments, port, folder, environment(extra), context) as running:
        yield running


@contextlib.contextmanager
def started(
    words: Sequence[str],
    port: int,
    folder: Path,
    env: Mapping[str, str],
    context: ssl.SSLContext | None = None,
) -> Iterator[Daemon]:
    """Run an exporter by this command, which listens on that port; killed at the end."""
    log_file = folder / "log"
    log_file.write_text("")
    # append mode, so that a test can empty the file
    with log_file.open("a") as log:
        process = subprocess.Popen(words, env=env, stderr=log, text=True)
    running = Daemon(process, port, log_file, context)
    try:
        wait_for(lambda: _ready(running), f"the exporter is ready: {log_file}")
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _ready(running: Daemon) -> bool:
    assert running.process.poll() is None, running.log
    try:
        return running.get("/-/ready").status == 200
    except OSError:
        return False
