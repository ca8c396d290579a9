"""`bullmq-exporter` with arguments, run to its end: in this process, or in one of its own."""

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
    """The command in this process, which costs a start less; an exception is the test's.

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
    """The command as a shell runs it, for what only a process has: its end, and its terminal."""
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
    """Handlers and levels of the command end with it."""
    loggers = (logging.getLogger(), logging.getLogger("uvicorn"))
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    try:
        yield
    finally:
        for logger, level, handlers in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers
