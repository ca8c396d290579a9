"""Reloading: read a new configuration, then accept or refuse it as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from exporter.config.errors import ConfigError, ConfigProblem
from exporter.config.models import Config

Load = Callable[[], Config]


def reload_config(load: Load, current: Config) -> tuple[Config, tuple[str, ...]]:
    """The new configuration, or the current one and every reason for refusing the new one."""
    try:
        new = load()
    except ConfigError as error:
        return current, tuple(str(problem) for problem in error.problems)
    problems = tuple(str(problem) for problem in _needs_restart(current, new))
    return (current, problems) if problems else (new, ())


def _needs_restart(current: Config, new: Config) -> Iterator[ConfigProblem]:
    """Changes to settings with which the listening socket was opened."""
    pairs = {
        "listen": (current.listen, new.listen),
        "web.tls": (current.web.tls, new.web.tls),
        "web.max_concurrent_requests": (
            current.web.max_concurrent_requests,
            new.web.max_concurrent_requests,
        ),
    }
    for path, (before, after) in pairs.items():
        if before != after:
            yield ConfigProblem(
                path, "cannot be changed by a reload; restart the exporter or restore the old value"
            )
