"""Runs `bullmq-exporter` with arguments until it exits, in this process or in its own."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from unittest import mock

import pytest

from exporter.cli import main
from tests.support.daemon import environment
from tests.support.waiting import LIMIT_SECONDS

Done = subprocess.CompletedProcess[str]


def command(*arguments: str, **extra: str) -> Done:
    """Run the command in this process, which is faster; exceptions reach the test.

    Not for `run` without `--once`, which is a daemon and tunes the whole process.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment(extra), clear=True),
        _own_logging(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = _exit_code(arguments)
    return Done(arguments, code, out.getvalue(), err.getvalue())


def process(*arguments: str, **extra: str) -> Done:
    """Run the command in its own process, for tests of its exit and its terminal."""
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments],
        env=environment(extra),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def _exit_code(arguments: tuple[str, ...]) -> int:
    with pytest.raises(SystemExit) as ending:
        main(arguments, prog_name="bullmq-exporter")
    return int(ending.value.code or 0)


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Restore log handlers and levels after the command."""
    loggers = (logging.getLogger(), logging.getLogger("uvicorn"))
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    try:
        yield
    finally:
        for logger, level, handlers in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers
