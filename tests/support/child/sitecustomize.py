"""Loaded by Python processes that have this folder on PYTHONPATH: what tests change in an exporter.

- `TEST_HUNG_AFTER_SECONDS`: sooner than after a minute, a silent poller counts as stuck.
- `TEST_HOSTS`: a file that takes the resolver's place: `address`, `unknown` (there is no such name)
  or `stuck` (no answer comes as long as that stands there).
- `TEST_CLOCK`: a file with the seconds by which `time.time` is ahead; monotonic time goes on. Under
  libfaketime, `time.sleep` of Python 3.11 fails.
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
