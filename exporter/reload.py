"""A new configuration for an exporter that runs: read, compared, and taken or refused whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from exporter.config.errors import ConfigError, ConfigProblem
from exporter.config.models import Config

Load = Callable[[], Config]


def reload_config(load: Load, current: Config) -> tuple[Config, tuple[str, ...]]:
    """The new configuration, or the current one and every reason why the new one is refused."""
    try:
        new = load()
    except ConfigError as error:
        return current, tuple(str(problem) for problem in error.problems)
    problems = tuple(str(problem) for problem in _fixed(current, new))
    return (current, problems) if problems else (new, ())


def _fixed(current: Config, new: Config) -> Iterator[ConfigProblem]:
    """What the listening socket was opened with."""
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
            yield ConfigProblem(path, "cannot be changed by a reload; restart, or put it back")
