"""The configuration: YAML and environment in, a frozen `Config` or every mistake out."""

from exporter.config.certificates import server_context
from exporter.config.errors import ConfigError, ConfigProblem
from exporter.config.loader import load
from exporter.config.models import (
    Config,
    Connection,
    Events,
    Poll,
    Queues,
    RedisTLS,
    Sentinel,
    Sync,
    WebTLS,
    is_wildcard,
    split_host_port,
)
from exporter.config.secret import MASK, Secret
from exporter.config.shard import Shard, parse_shard, part_of
from exporter.config.show import show
from exporter.config.url import RedisURL, parse_url

__all__ = [
    "MASK",
    "Config",
    "ConfigError",
    "ConfigProblem",
    "Connection",
    "Events",
    "Poll",
    "Queues",
    "RedisTLS",
    "RedisURL",
    "Secret",
    "Sentinel",
    "Shard",
    "Sync",
    "WebTLS",
    "is_wildcard",
    "load",
    "parse_shard",
    "parse_url",
    "part_of",
    "server_context",
    "show",
    "split_host_port",
]
