"""Builds the exporter from a validated `Config`, runs it, and stops its parts in reverse order."""

from __future__ import annotations

import ctypes
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from exporter import __version__
from exporter.config.files import exposed_files
from exporter.config.models import Config, is_wildcard
from exporter.exposition import Format, PageWriter, Renderer, Variant
from exporter.log import event, set_up
from exporter.polling import PollerPool, SyncRunner
from exporter.reload import Load, reload_config
from exporter.state.snapshots import Reload
from exporter.state.store import SnapshotStore
from exporter.views.moment import Moment, moment_of
from exporter.web import Certificates, Users, WebServer, application, open_socket

logger = logging.getLogger("exporter")

_STOP_SECONDS = 1.0
_M_ARENA_MAX = -8
"""The option in glibc's malloc.h."""
_FIRST_MOMENT_SECONDS = 1.0
_SIGNAL_SECONDS = 0.5
_NO_AUTH = (
    "anyone who can reach this port can read the metrics; set web.basic_auth_users, or listen on "
    "127.0.0.1"
)

_CHMOD = "it contains passwords, hashes or a private key; chmod o-r it"

_Problems = tuple[str, ...]
_Request = Future[_Problems] | None
"""A reload, whose future gets the problems (none on success); None to stop."""


def tune_gc() -> None:
    """Collect garbage less often, and skip the objects that exist at startup.

    Replies are deep trees without cycles. With the default thresholds they are traversed many
    times a poll: a tenth to a sixth of a poll's CPU time with ten thousand queues. Each HTTP
    connection leaves a cycle behind, so higher thresholds would let tens of megabytes accumulate.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def tune_threads() -> None:
    """Let a thread that has something to do wait half a millisecond for another one at most.

    By default that is 5 ms, and a response waits several times: for the event loop to wake up, and
    after each system call. While thousands of queues were polled, probes and `/scale` took 8 ms
    instead of 2. More frequent changes cost less than 3 % of the CPU time of two busy threads.
    """
    sys.setswitchinterval(0.0005)


def share_heap() -> None:
    """Let all threads allocate memory from one heap, where the C library is glibc.

    By default each thread has its own, and what one of them frees, others cannot use: a sixth of
    what thousands of queues take. Other threads must not have started yet.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


class App:
    """The whole exporter. SIGUSR1 looks for queues; with `load`, SIGHUP reloads the configuration.

    `source` is the configuration's file, if there is one.
    """

    def __init__(
        self, config: Config, load: Load | None = None, source: Path | None = None
    ) -> None:
        self._config = config
        self._load = load
        self._source = source
        self._requests: SimpleQueue[_Request] = SimpleQueue()
        self._store = SnapshotStore(list(config.connections))
        self._store.reload = Reload(successful=True, success_time=time.time())
        self._pollers = PollerPool(config, self._store)
        self._sync = SyncRunner(config, self._store) if config.sync.enabled else None
        self._renderer = Renderer(self._store, lambda: self._config)
        self._users = Users(config.web.basic_auth_users)
        self._warned_no_auth = False
        self._warned_files: set[Path] = set()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises `ListenError` before any part starts."""
        config = self._config
        tune_gc()
        tune_threads()
        share_heap()
        web = self._web_server(open_socket(config.listen))
        with _signal_handlers(self._signals()):
            self._renderer.start()
            web.start()
            self._pollers.start()
            if self._sync is not None:
                self._sync.start()
            event(
                logger,
                logging.INFO,
                "started",
                version=__version__,
                listen=config.listen,
                connections=",".join(config.connections),
            )
            self._warn_if_unauthenticated()
            self._warn_of_exposed_secrets()
            for request in self._requests_until_stop():
                self._handle(request)
            event(logger, logging.INFO, "stopping")
            self._stop_polling()
            web.stop()
            self._renderer.stop()
        event(logger, logging.INFO, "stopped")

    def page_once(self) -> tuple[str, bool]:
        """The metrics page after one discovery and poll, and whether every Redis was reached."""
        if self._sync is not None:
            self._sync.run_once()
        reached = self._pollers.poll_once()
        # a long discovery must not make the facts too old to show
        moment = moment_of(self._store, self._config, stale_after=float("inf"))
        page = PageWriter().write(moment)
        self._pollers.close()
        return page.body(Variant(Format.TEXT, gzip=False)).decode(), reached

    def moment_once(self, seconds: float) -> tuple[Moment, bool]:
        """What is known after watching for `seconds`, and whether every Redis was reached."""
        reached = self._pollers.poll_once()
        time.sleep(seconds)
        self._pollers.poll()
        moment = moment_of(self._store, self._config)
        self._pollers.close()
        return moment, reached

    def moments(self) -> Iterator[Moment]:
        """What is known, once per poll interval, until SIGTERM or SIGINT."""
        stop = self._request_stop
        with _signal_handlers({signal.SIGTERM: stop, signal.SIGINT: stop}), self.watching():
            wait = _FIRST_MOMENT_SECONDS
            while not self._stopped_within(wait):
                yield moment_of(self._store, self._config)
                wait = self._config.poll.interval_seconds

    @contextmanager
    def watching(self) -> Iterator[SnapshotStore]:
        """The store to which the pollers publish, while the context is active."""
        self._pollers.start()
        try:
            yield self._store
        finally:
            self._pollers.stop()

    # --- requests: queued by signal handlers and other threads, handled by the main thread -------

    def _signals(self) -> dict[int, Callable[[], object]]:
        signals: dict[int, Callable[[], object]] = {
            signal.SIGTERM: self._request_stop,
            signal.SIGINT: self._request_stop,
            signal.SIGUSR1: self._pollers.discover,
        }
        if self._load is not None:
            signals[signal.SIGHUP] = self._request_reload
        return signals

    def _request_stop(self) -> None:
        self._requests.put(None)

    def _request_reload(self) -> Future[_Problems]:
        request: Future[_Problems] = Future()
        self._requests.put(request)
        return request

    def _requests_until_stop(self) -> Iterator[Future[_Problems]]:
        while True:
            # Python runs the handler of a signal that arrives just before a wait only after the
            # wait, so every wait needs a timeout
            with suppress(Empty):
                request = self._requests.get(timeout=_SIGNAL_SECONDS)
                if request is None:
                    return
                yield request

    def _stopped_within(self, seconds: float) -> bool:
        try:
            return self._requests.get(timeout=seconds) is None
        except Empty:
            return False

    def _handle(self, request: Future[_Problems]) -> None:
        if not request.set_running_or_notify_cancel():
            return
        try:
            request.set_result(self._reload())
        except Exception:
            logger.exception("unexpected error during a reload; this is a bug, please report it")
            request.set_result(("unexpected error in the exporter; see its log",))

    def _reload(self) -> _Problems:
        load = self._load if self._load is not None else lambda: self._config
        new, problems = reload_config(load, self._config)
        if problems:
            for problem in problems:
                event(logger, logging.ERROR, "reload failed", detail=problem)
            last = self._store.reload.success_time if self._store.reload else time.time()
            self._store.publish_reload(Reload(successful=False, success_time=last))
        else:
            self._apply(new)
        return problems

    def _apply(self, new: Config) -> None:
        set_up(new.log.level, new.log.format)
        self._users.replace(new.web.basic_auth_users)
        changes = self._pollers.change(new)
        self._change_sync(new)
        self._config = new
        self._store.publish_reload(Reload(successful=True, success_time=time.time()))
        event(
            logger,
            logging.INFO,
            "reloaded",
            kept=",".join(changes.kept),
            started=",".join(changes.started),
            stopped=",".join(changes.stopped),
        )
        self._warn_if_unauthenticated()
        self._warn_of_exposed_secrets()

    def _change_sync(self, new: Config) -> None:
        if self._sync is not None and new.sync.enabled:
            self._sync.change(new)
        elif self._sync is not None:
            self._sync.stop()
            self._sync.join(_STOP_SECONDS)
            self._sync = None
            self._store.publish_sync(None)
        elif new.sync.enabled:
            self._sync = SyncRunner(new, self._store)
            self._sync.start()

    def _stop_polling(self) -> None:
        deadline = time.monotonic() + _STOP_SECONDS
        if self._sync is not None:
            self._sync.stop()
        self._pollers.stop()
        if self._sync is not None:
            self._sync.join(max(0.0, deadline - time.monotonic()))

    # --- HTTP ------------------------------------------------------------------------------------

    def _web_server(self, sock: socket.socket) -> WebServer:
        web = self._config.web
        pages = application(
            lambda: self._config,
            self._store,
            self._renderer,
            self._users,
            self._request_reload,
            self._pollers.discover,
        )
        context = Certificates(web.tls).context
        return WebServer(pages, sock, web.max_concurrent_requests, context)

    def _warn_if_unauthenticated(self) -> None:
        """Log once, at startup or after a reload, that anyone on the network can read the pages."""
        config = self._config
        guarded = not self._users.open or config.web.tls.client_ca_file is not None
        if is_wildcard(config.listen) and not guarded and not self._warned_no_auth:
            self._warned_no_auth = True
            event(
                logger,
                logging.INFO,
                "listening on all interfaces without authentication",
                listen=config.listen,
                detail=_NO_AUTH,
            )

    def _warn_of_exposed_secrets(self) -> None:
        """Log once for each file with secrets, at startup or after a reload, if all may read it."""
        message = "secret readable by all users"
        for file in exposed_files(self._config, self._source):
            if file not in self._warned_files:
                self._warned_files.add(file)
                event(logger, logging.WARNING, message, file=file, detail=_CHMOD)


@contextmanager
def _signal_handlers(handlers: Mapping[int, Callable[[], object]]) -> Iterator[None]:
    """Call these functions on their signals; restores the previous handlers at the end."""

    def handle(number: int, _: FrameType | None) -> None:
        handlers[number]()

    before = {number: signal.signal(number, handle) for number in handlers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
