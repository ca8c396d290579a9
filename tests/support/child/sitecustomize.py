"""Loaded by Python processes with this folder in PYTHONPATH; changes an exporter for tests.

- `TEST_HUNG_AFTER_SECONDS`: after this many seconds, a silent poller counts as hung.
- `TEST_HOSTS`: a file that replaces the resolver. It contains an address, `unknown` (the name does
  not exist) or `stuck` (the resolver hangs while the file contains this).
- `TEST_CLOCK`: a file with the seconds by which `time.time` is ahead; monotonic time is unaffected.
  `time.sleep` of Python 3.11 fails under libfaketime.
"""

import os
import socket
import time
from pathlib import Path

if _seconds := os.environ.get("TEST_HUNG_AFTER_SECONDS"):
    from exporter.web import routes

    routes._HUNG_AFTER_SECONDS = float(_seconds)

if _hosts := os.environ.get("TEST_HOSTS"):
    _resolve = socket.getaddrinfo

    def _resolved(_host: object, *arguments: object, **options: object) -> object:
        while (address := Path(_hosts).read_text()) == "stuck":
            time.sleep(0.05)
        if address == "unknown":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return _resolve(address, *arguments, **options)

    socket.getaddrinfo = _resolved

if _clock := os.environ.get("TEST_CLOCK"):
    _time = time.time
    time.time = lambda: _time() + float(Path(_clock).read_text())
