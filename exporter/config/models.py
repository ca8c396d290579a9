"""The configuration's shape: every key, its type, its default and its range.

Durations are seconds, with the unit in the key. Values are strict ("5" is not 5) but for those
that come out of the environment, where everything is a text.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
    model_validator,
)

from exporter.config.environment import Interpolated
from exporter.config.secret import Secret
from exporter.config.shard import Shard, parse_shard
from exporter.config.url import RedisURL, parse_url
from exporter.config.users import checked_hash, checked_user
from exporter.config.yaml_reader import read_scalar

_CONNECTION_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HOST_PORT = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:\s]*)):(?P<port>\d{1,5})")
_HALVES = re.compile("[\ud800-\udfff]")
_PAIR = "cert_file and key_file go together; set both or none"


class Section(BaseModel):
    """A part of the configuration: frozen, no unknown keys, no silent conversions."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _typed_environment(cls, value: Any, info: ValidationInfo) -> Any:
        if not _is_unicode(value):
            raise ValueError("holds half a character; write it as UTF-8")
        if not isinstance(value, Interpolated):
            return value
        if info.field_name in cls._text_fields():
            return str(value)
        return read_scalar(str(value))

    @classmethod
    def _text_fields(cls) -> frozenset[str]:
        return frozenset(
            name
            for name, field in cls.model_fields.items()
            if field.annotation not in (int, float, bool)
        )


def _is_unicode(value: Any) -> bool:
    """Whether every text in it can be sent: YAML's escapes and the environment may hold halves."""
    if isinstance(value, dict):
        return all(map(_is_unicode, (*value, *value.values())))
    if isinstance(value, list | tuple):
        return all(map(_is_unicode, value))
    return not (isinstance(value, str) and _HALVES.search(value))


def split_host_port(text: str) -> tuple[str, int]:
    """`host:port` or `[ipv6]:port` as host and port; an empty host means every interface."""
    match = _HOST_PORT.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError('must be "host:port" with a port up to 65535, as in "0.0.0.0:9538"')
    return match["six"] or match["host"] or "", int(match["port"])


def is_wildcard(listen: str) -> bool:
    """Whether an address means every interface."""
    return split_host_port(listen)[0] in ("", "0.0.0.0", "::")


def _checked_host_port(text: str) -> str:
    split_host_port(text)
    return text


def _node_address(text: str) -> str:
    match = _HOST_PORT.fullmatch(text)
    if match is None or not split_host_port(text)[0]:
        raise ValueError('must be "host:port", as in "sentinel-1:26379"')
    return text


def _parsed_url(value: Any) -> Any:
    return parse_url(value) if isinstance(value, str) else value


def _parsed_shard(value: Any) -> Any:
    return parse_shard(value) if isinstance(value, str) else value


def _secret(value: Any) -> Any:
    return Secret(value) if isinstance(value, str) else value


def _connection_name(name: str) -> str:
    if _CONNECTION_NAME.fullmatch(name) is None:
        raise ValueError("a connection's name is 1 to 64 letters, digits, _, - or .")
    return name


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if not values or any(b <= a for a, b in pairwise(values)):
        raise ValueError("must be one or more numbers, each greater than the one before")
    return values


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values or len(set(values)) != len(values) or "" in values:
        raise ValueError("must be one or more different, non-empty texts")
    return values


Shown = PlainSerializer(str, return_type=str)
Seconds = Annotated[float, Field(gt=0, le=86400)]
ShardText = Annotated[Shard, BeforeValidator(_parsed_shard), Shown]
URL = Annotated[RedisURL, BeforeValidator(_parsed_url), Shown]
NodeAddress = Annotated[str, AfterValidator(_node_address)]
HostPort = Annotated[str, AfterValidator(_checked_host_port)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]
FilePath = Annotated[Path, Field(strict=False)]
Hash = Annotated[Secret, BeforeValidator(_secret), AfterValidator(checked_hash), Shown]
Buckets = Annotated[tuple[float, ...], Field(strict=False), AfterValidator(_increasing)]
UserName = Annotated[str, AfterValidator(checked_user)]
ConnectionName = Annotated[str, AfterValidator(_connection_name)]


class RedisTLS(Section):
    """How a rediss:// connection proves the server, and itself."""

    ca_file: FilePath | None = None
    """PEM certificates that the server's is checked against; without it, the system's."""
    cert_file: FilePath | None = None
    """The client's own certificate, PEM; with `key_file`."""
    key_file: FilePath | None = None
    """Its key, PEM."""
    server_name: str | None = None
    """The name that the server's certificate must have; without it, the host that is dialled."""
    verify: bool = True
    """Whether the server's certificate and name are checked."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError(_PAIR)
        return self


class Sentinel(Section):
    """A master that sentinels know by name."""

    master: Annotated[str, Field(min_length=1)]
    """The name that the sentinels know the master by."""
    nodes: Annotated[tuple[NodeAddress, ...], Field(strict=False, min_length=1)]
    """The sentinels, each `host:port`, asked in this order."""
    password_file: FilePath | None = None
    """A file with the sentinels' own password."""


class Connection(Section):
    """A vantage point: one service's way to its Redis."""

    url: URL
    """`redis://`, `rediss://` or `unix://`. Special characters in user and password are
    percent-encoded. With `sentinel` its host is not used; with `cluster` it is a start node.
    """
    username: str | None = None
    """Wins over the URL's."""
    password_file: FilePath | None = None
    """A file with the password; wins over the URL's. Read at each connect, so that a new password
    needs neither a restart nor a reload.
    """
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """How long connecting may take, with TLS and login."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """How long the replies to a batch of commands may take."""
    tls: RedisTLS = RedisTLS()
    sentinel: Sentinel | None = None
    cluster: bool = False
    """Whether the URL leads to a node of a cluster, all of which is read:
    [Clusters](operations.md#clusters).
    """

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.sentinel is not None and self.cluster:
            raise ValueError("sentinel and cluster exclude each other; a cluster has no sentinels")
        if self.sentinel is not None and self.url.scheme == "unix":
            raise ValueError("sentinel needs a redis:// or rediss:// URL; its host is not used")
        if self.cluster and self.url.scheme == "unix":
            raise ValueError("cluster needs a redis:// or rediss:// URL, of any node")
        if self.cluster and self.url.db != 0:
            raise ValueError(f"a cluster has no database {self.url.db}, only 0; correct the URL")
        return self

    def at(self, host: str, port: int) -> Connection:
        """The same way in to one server: a master that sentinels name, a node of a cluster."""
        url = replace(self.url, host=host, port=port)
        return self.model_copy(update={"url": url, "sentinel": None, "cluster": False})

    @property
    def user(self) -> str | None:
        """The user name in force: the key's, else the URL's."""
        return self.username or self.url.username

    def read_password(self) -> Secret | None:
        """The password in force: the file's, read now, else the URL's. Raises `OSError`."""
        if self.password_file is None:
            return self.url.password
        return Secret(self.password_file.read_text(encoding="utf-8").rstrip("\r\n"))


class Queues(Section):
    """Which queues are watched, and how they are found."""

    prefixes: Annotated[Texts, AfterValidator(_distinct)] = ("bull",)
    """BullMQ's key prefixes. They may hold `:`, hash tags (`{bull}`) and glob characters; the
    longest that fits a key wins.
    """
    include: Texts = ("*",)
    """Glob patterns; a queue is watched if its name matches one of them."""
    exclude: Texts = ()
    """Glob patterns; a queue whose name matches one of them is not watched."""
    static: Texts = ()
    """Names that are watched under every prefix whether or not a walk finds them."""
    discovery: bool = True
    """Whether the keyspace is walked with SCAN to find queues; off: only `static`."""
    discovery_interval_seconds: Seconds = 60.0
    """How often the keyspace is walked."""
    discovery_batch: Annotated[int, Field(ge=10, le=100_000)] = 1000
    """SCAN's COUNT, keys a page; pages are spaced so that other clients are not held up."""
    max: Annotated[int, Field(ge=1)] = 10_000
    """The most queues watched, for each connection, prefix and shard; more are counted in
    `bullmq_exporter_queues_dropped`.
    """
    shard: ShardText | None = None
    """`2/5`: this process watches the queues whose names hash to the second of five parts;
    `${POD_NAME}/5` takes the ordinal of a StatefulSet's pod:
    [Sharding](operations.md#sharding).
    """

    @property
    def first_shard(self) -> bool:
        """Whether this process shows what all shards see alike; without shards it is the first."""
        return self.shard is None or self.shard.part == 1

    @model_validator(mode="after")
    def _something_to_watch(self) -> Self:
        if not self.discovery and not self.static:
            raise ValueError("discovery is off and static is empty, so no queue would be watched")
        return self


class Poll(Section):
    """How often queues are read, and when what was read is too old to show."""

    interval_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 5.0
    """Time from one poll to the next."""
    stale_after_seconds: Seconds = 15.0
    """Samples older than this are withdrawn; must be more than `interval_seconds`."""
    blocked_after_seconds: Seconds = 60.0
    """Ready work that has not moved for so long counts as blocked."""

    @model_validator(mode="after")
    def _outlives_a_poll(self) -> Self:
        if self.stale_after_seconds <= self.interval_seconds:
            raise ValueError(
                f"stale_after_seconds ({self.stale_after_seconds:g}) must be greater than "
                f"interval_seconds ({self.interval_seconds:g}); three times as much is usual"
            )
        return self


class Events(Section):
    """How the queues' event streams are followed."""

    enabled: bool = True
    """Whether the event streams are followed, for the counters and histograms of jobs."""
    job_names: bool = False
    """Whether jobs are told apart by name, in the label `job_name`."""
    max_job_names: Annotated[int, Field(ge=1)] = 100
    """The most job names of a queue; the rest is `__other__`."""
    max_inflight: Annotated[int, Field(ge=1)] = 100_000
    """The most jobs remembered between ready and finished, for each connection."""
    page_bytes: Annotated[int, Field(ge=65_536)] = 4_194_304
    """Bounds what one read brings, since finished events carry return values."""
    wait_buckets: Buckets = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 21600)
    """Bounds of the histogram `bullmq_job_wait_seconds`."""
    run_buckets: Buckets = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600)
    """Bounds of the histogram `bullmq_job_run_seconds`."""


class Sync(Section):
    """The test that every pair of connections sees the same data."""

    enabled: bool = True
    """Whether the test runs; off, nothing is ever written."""
    interval_seconds: Annotated[float, Field(ge=1, le=86400)] = 30.0
    """Time from one round of all pairs to the next."""
    timeout_seconds: Annotated[float, Field(gt=0, le=20)] = 2.0
    """How long a reader may take to see the writer's value."""
    key_prefix: Annotated[str, Field(min_length=1, max_length=200)] = "bullmq-exporter:sync"
    """What the test's own keys begin with."""


class WebTLS(Section):
    """Certificates of the exporter's own HTTP server."""

    cert_file: FilePath | None = None
    """The server's certificate, PEM, with its chain; with it, HTTPS alone is spoken. Read anew when
    it changes: [TLS and authentication](operations.md#tls-and-authentication).
    """
    key_file: FilePath | None = None
    """Its key, PEM, not encrypted."""
    client_ca_file: FilePath | None = None
    """PEM certificates of CAs, one of which must have signed a client's; without it, clients need
    none.
    """

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError(_PAIR)
        if self.client_ca_file is not None and self.cert_file is None:
            raise ValueError("client_ca_file needs cert_file and key_file; set them as well")
        return self


class Web(Section):
    """The HTTP server."""

    tls: WebTLS = WebTLS()
    basic_auth_users: dict[UserName, Hash] = {}
    """Names with the bcrypt hashes that `htpasswd -nB` writes. With any user, all but `/-/healthy`
    and `/-/ready` asks for a password.
    """
    basic_auth_users_file: FilePath | None = None
    """A YAML file of further users, `name: hash`."""
    enable_lifecycle: bool = False
    """Whether `POST /-/reload` reads the configuration anew, as SIGHUP does:
    [Reloading](operations.md#reloading).
    """
    max_concurrent_requests: Annotated[int, Field(ge=1, le=10_000)] = 40
    """The most connections and requests at a time; more are answered with 503."""


class Log(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are written."""
    format: Literal["text", "json"] = "text"
    """Lines of text, or one JSON object a line."""


class Config(Section):
    """The whole configuration."""

    listen: HostPort = "0.0.0.0:9538"
    """Where to serve, `host:port`; an empty host is every interface."""
    connections: Annotated[dict[ConnectionName, Connection], Field(min_length=1)]
    queues: Queues = Queues()
    poll: Poll = Poll()
    events: Events = Events()
    sync: Sync = Sync()
    web: Web = Web()
    log: Log = Log()
