"""Fast starts: commands import only what they need."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from exporter.cli.help_text import COMMAND_HELP

# packages that take longer to import than everything that these calls need
HEAVY = {
    "bcrypt",
    "hiredis",
    "jinja2",
    "prometheus_client",
    "pydantic",
    "redis",
    "rich",
    "starlette",
    "uvicorn",
}
_PROBE = """
import contextlib, io, json, sys
from exporter.cli import main
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(arguments)
print(json.dumps(sorted(sys.modules)))
"""


def imported(code: str, *arguments: str, **environ: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_version_and_help_import_no_library() -> None:
    calls = [["--version"], ["--help"], *([name, "--help"] for name in COMMAND_HELP)]
    assert imported(_PROBE, json.dumps(calls)) & HEAVY == set()


@pytest.mark.parametrize("words", ["", "check --connection d", "rules --set No", "queues --sort "])
def test_completion_imports_no_library(words: str) -> None:
    call = f"bullmq-exporter {words}"
    names = imported(
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules))))\n"
        "from exporter.cli import main\n"
        "main(prog_name='bullmq-exporter')",
        COMP_WORDS=call,
        COMP_CWORD=str(len(call.split(" ")) - 1),
        _BULLMQ_EXPORTER_COMPLETE="bash_complete",
    )
    assert names & HEAVY == set()


def test_the_exporter_defers_imports_that_the_first_page_does_not_need() -> None:
    names = imported("import exporter.app, json, sys\nprint(json.dumps(sorted(sys.modules)))")
    assert names & {"jinja2", "redis", "rich"} == set()
