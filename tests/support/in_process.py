"""`bullmq-exporter` within the test's own process, where no start of Python is part of the test."""

from __future__ import annotations

import contextlib
import io
import subprocess

from exporter.cli import main


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As `tests.support.daemon.command`, run to its end."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(arguments), prog_name="bullmq-exporter")
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
