"""A wall clock that a test sets for another process; monotonic time is unaffected."""

from __future__ import annotations

from pathlib import Path

from tests.support.requirements import missing


class Clock:
    """The wall clock of the processes that have its environment."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """From now on, be this far ahead of the real time."""
        # replaced as a whole, because a half-written file would be read
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.rename(self._file)

    @property
    def of_a_server(self) -> dict[str, str]:
        """The environment of a Valkey with libfaketime; Debian's Redis does not work with it."""
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    @property
    def of_an_exporter(self) -> dict[str, str]:
        """The environment of an exporter: see child/sitecustomize.py."""
        return {"TEST_CLOCK": str(self._file)}


def _library() -> Path:
    for folder in (Path("/usr/lib"), Path("/usr/local/lib")):
        for path in folder.glob("**/faketime/libfaketimeMT.so.1"):
            return path
    missing("libfaketime is not installed")
    raise AssertionError
