"""The heap that all threads share, in a process of its own."""

from __future__ import annotations

import platform
import re
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys, threading
from exporter.app import share_heap

if sys.argv[1] == "shared":
    share_heap()
kept = []
threads = [threading.Thread(target=lambda: kept.append(bytes(100_000))) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_threads_share_one_heap() -> None:
    assert heaps("shared") == 1 < heaps("default")


def heaps(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], check=True, capture_output=True, text=True
    )
    return len(re.findall("<heap nr=", done.stdout))
