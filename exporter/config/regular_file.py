"""Reads the files that a configuration consists of: regular files of a limited size.

A FIFO would block until it is written to, and a device may never end.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

MAX_YAML_BYTES: Final = 1 << 20
"""Maximum size of a configuration and of a file with users."""
MAX_FILE_BYTES: Final = 4 << 20
"""Maximum size of a file with a password or with certificates."""


def read_text(file: Path, limit: int = MAX_FILE_BYTES) -> str:
    """The file's text. Raises `OSError`, also if it is not a regular file or larger than `limit`,
    and `UnicodeDecodeError`.
    """
    # opening a FIFO without O_NONBLOCK waits for its writer
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    try:
        _check(os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as opened:
            data = opened.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit >> 20} MB")
    return data.decode()


def check_regular(file: Path) -> None:
    """Check a file that a library reads. Raises `OSError` if it is missing or not regular."""
    _check(file.stat())


def _check(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
