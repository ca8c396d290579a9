"""The configuration's schema: every key with its type, default and range.

Durations are in seconds, and the key names the unit. Types are strict ("5" is not 5), except for
values from the environment, where everything is a string.

The string below a field is its description in docs/configuration.md.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

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
from exporter.config.regular_file import read_text
from exporter.config.secret import Secret
from exporter.config.shard import Shard, parse_shard
from exporter.config.url import RedisURL, parse_url
from exporter.config.users import checked_hash, checked_user
from exporter.config.yaml_reader import read_scalar
from exporter.parsing import duration_seconds, duration_text

_CONNECTION_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HOST_PORT = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:\s]*)):(?P<port>\d{1,5})")
_SLO_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,56}[a-z0-9])?")
_SURROGATES = re.compile("[\ud800-\udfff]")
_MAX_NAME_BYTES = 500
"""Of a prefix or a queue: two of them make a key that is short enough to be watched."""
_PAIR = "cert_file and key_file go together; set both or neither"


class Section(BaseModel):
    """A section of the configuration: frozen, no unknown keys, no implicit conversions."""

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
            raise ValueError("contains an unpaired surrogate; write the character as UTF-8")
        if not isinstance(value, Interpolated):
            return value
        if info.field_name in cls._string_fields():
            return str(value)
        return read_scalar(str(value))

    @classmethod
    def _string_fields(cls) -> frozenset[str]:
        return frozenset(
            name
            for name, field in cls.model_fields.items()
            if field.annotation not in (int, float, bool)
        )


def _is_unicode(value: Any) -> bool:
    """Whether no string contains a surrogate, as YAML escapes and the environment may."""
    if isinstance(value, dict):
        return all(map(_is_unicode, (*value, *value.values())))
    if isinstance(value, list | tuple):
        return all(map(_is_unicode, value))
    return not (isinstance(value, str) and _SURROGATES.search(value))


def split_host_port(text: str) -> tuple[str, int]:
    """Split `host:port` or `[ipv6]:port`; an empty host: all interfaces. Raises `ValueError`."""
    match = _HOST_PORT.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError('must be "host:port" with a port up to 65535, as in "0.0.0.0:9538"')
    return match["six"] or match["host"] or "", int(match["port"])


def is_wildcard(listen: str) -> bool:
    """Whether the address means all interfaces."""
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
        raise ValueError("a connection name must be 1 to 64 letters, digits, _, - or .")
    return name


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if not values or any(b <= a for a, b in pairwise(values)):
        raise ValueError("must be one or more numbers, each greater than the previous one")
    return values


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values or len(set(values)) != len(values) or "" in values:
        raise ValueError("must be one or more distinct, non-empty strings")
    return values


def _short(values: tuple[str, ...]) -> tuple[str, ...]:
    if any(len(value.encode()) > _MAX_NAME_BYTES for value in values):
        raise ValueError(f"must be strings of at most {_MAX_NAME_BYTES} bytes")
    return values


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    seconds = duration_seconds(value)
    if seconds is None:
        raise ValueError('must be a duration such as "30s" or "1h30m", or a number of seconds')
    return seconds


def _slo_name(name: str) -> str:
    if _SLO_NAME.fullmatch(name) is None:
        raise ValueError("must be 1 to 58 lowercase letters, digits and -, with no - at either end")
    return name


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def _link_template(text: str) -> str:
    if not text.startswith(("https://", "http://")) or not text.isprintable() or " " in text:
        raise ValueError("must be a URL that begins with https:// or http://, without blanks")
    unknown = set(re.findall(r"\{.*?\}|[{}]", text)) - {"{connection}", "{prefix}", "{queue}"}
    if unknown:
        found = min(unknown)
        raise ValueError(
            f"{found} is no placeholder; there are {{connection}}, {{prefix}}, {{queue}}"
        )
    return text


Shown = PlainSerializer(str, return_type=str)
Seconds = Annotated[float, Field(gt=0, le=86400)]
TargetSeconds = Annotated[float, Field(gt=0, le=31_536_000)]
Duration = Annotated[float, Field(gt=0, le=31_536_000), BeforeValidator(_duration)]
SloName = Annotated[str, AfterValidator(_slo_name)]
ShardSpec = Annotated[Shard, BeforeValidator(_parsed_shard), Shown]
URL = Annotated[RedisURL, BeforeValidator(_parsed_url), Shown]
NodeAddress = Annotated[str, AfterValidator(_node_address)]
HostPort = Annotated[str, AfterValidator(_checked_host_port)]
Strings = Annotated[tuple[str, ...], Field(strict=False)]
ShortStrings = Annotated[Strings, AfterValidator(_short)]
Groups = Annotated[tuple[Annotated[Strings, Field(min_length=1)], ...], Field(strict=False)]
FilePath = Annotated[Path, Field(strict=False)]
Hash = Annotated[Secret, BeforeValidator(_secret), AfterValidator(checked_hash), Shown]
Buckets = Annotated[tuple[float, ...], Field(strict=False), AfterValidator(_increasing)]
LinkTemplate = Annotated[str, AfterValidator(_link_template)]
UserName = Annotated[str, AfterValidator(checked_user)]
ConnectionName = Annotated[str, AfterValidator(_connection_name)]


class RedisTLS(Section):
    """Certificates of a rediss:// connection."""

    ca_file: FilePath | None = None
    """PEM file of the CAs that verify the server's certificate; default: the system's."""
    cert_file: FilePath | None = None
    """PEM file of the client certificate; requires `key_file`."""
    key_file: FilePath | None = None
    """PEM file of the client certificate's key."""
    server_name: str | None = None
    """The name that the server's certificate must match; default: the host connected to."""
    verify: bool = True
    """Whether to verify the server's certificate and its name."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError(_PAIR)
        return self


class Sentinel(Section):
    """A master that sentinels monitor."""

    master: Annotated[str, Field(min_length=1)]
    """The master's name, as the sentinels know it."""
    nodes: Annotated[tuple[NodeAddress, ...], Field(strict=False, min_length=1)]
    """The sentinels as `host:port`, asked in this order."""
    password_file: FilePath | None = None
    """A file with the sentinels' password."""


class Connection(Section):
    """A vantage point: how one service reaches its Redis."""

    url: URL
    """`redis://`, `rediss://` or `unix://`. Percent-encode special characters in user and password.
    With `sentinel`, the host is ignored; with `cluster`, it is a start node.
    """
    username: str | None = None
    """Overrides the user name in the URL."""
    password_file: FilePath | None = None
    """A file with the password; overrides the password in the URL. Read at each connect, so a new
    password needs no restart or reload.
    """
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Timeout of connecting, including TLS and authentication."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Timeout of the replies to a batch of commands."""
    tls: RedisTLS = RedisTLS()
    sentinel: Sentinel | None = None
    cluster: bool = False
    """Whether the URL is that of a cluster node; the exporter reads the whole cluster:
    [Clusters](operations.md#clusters).
    """

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.sentinel is not None and self.cluster:
            raise ValueError("sentinel and cluster are mutually exclusive; remove one of them")
        if self.sentinel is not None and self.url.scheme == "unix":
            raise ValueError("sentinel requires a redis:// or rediss:// URL; its host is ignored")
        if self.cluster and self.url.scheme == "unix":
            raise ValueError("cluster requires the redis:// or rediss:// URL of any node")
        return self

    def at(self, host: str, port: int) -> Connection:
        """The settings for one server: the master that sentinels name, or a node of the cluster."""
        url = replace(self.url, host=host, port=port)
        return self.model_copy(update={"url": url, "sentinel": None, "cluster": False})

    @property
    def user(self) -> str | None:
        """The effective user name: `username`, else the URL's."""
        return self.username or self.url.username

    def read_password(self) -> Secret | None:
        """The effective password: the file's, read now, else the URL's. Raises `OSError`."""
        if self.password_file is None:
            return self.url.password
        return Secret(read_text(self.password_file).rstrip("\r\n"))


class Target(Section):
    """What is normal for the queues that a glob pattern in `queues.targets` matches; the first
    pattern that matches a name wins. A value that is not set leaves the alerts' default.
    """

    wait_seconds: TargetSeconds | None = None
    """How long a ready job may wait before BullMQJobsWaitingTooLong fires; twelve times that is far
    too long.
    """
    run_seconds: TargetSeconds | None = None
    """How long a job may run before BullMQActiveJobTooLong fires."""
    failure_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    """The share of finished jobs that may fail for good before BullMQHighFailureRatio fires;
    BullMQVeryHighFailureRatio then does not apply.
    """
    silent_seconds: TargetSeconds | None = None
    """How long no job may be added before BullMQQueueSilent fires; needs `events.enabled`."""


NO_TARGET: Final = Target()


def _first_match(name: str, patterns: Iterable[tuple[re.Pattern[str], Target]]) -> Target | None:
    return next((target for pattern, target in patterns if pattern.match(name)), None)


class Slo(Section):
    """A service level objective: the share of jobs that must start, or run, within a target. It
    holds for each queue that it matches; a queue may have several. Needs `events.enabled`:
    [SLOs](slos.md).
    """

    match: Annotated[str, Field(min_length=1, max_length=500)]
    """Glob pattern of the names of queues."""
    name: SloName | None = None
    """Label `slo` of its metrics. By default made of the pattern and the target, such as
    `mail-start-within-30s`.
    """
    start_within: Duration | None = None
    """The target: how long a ready job may wait until it is started. Set this or `run_within`."""
    run_within: Duration | None = None
    """The target: how long a job may run until it ends. Set this or `start_within`."""
    objective: Annotated[float, Field(gt=0, lt=100)]
    """The percentage that must meet the target."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.start_within is None) == (self.run_within is None):
            raise ValueError("set either start_within or run_within")
        return self

    @property
    def label(self) -> str:
        """The name, or what is made of the pattern and the target; unique."""
        if self.name is not None:
            return self.name
        what = "start" if self.start_within is not None else "run"
        queues = re.sub("[^a-z0-9]+", "-", self.match.lower()).strip("-") or "all"
        return f"{queues[:30].rstrip('-')}-{what}-within-{duration_text(self.target_seconds)}"

    @property
    def target_seconds(self) -> float:
        """`start_within` or `run_within`."""
        target = self.start_within if self.run_within is None else self.run_within
        assert target is not None  # noqa: S101 - see `_one_target`
        return target

    @property
    def objective_ratio(self) -> float:
        """The objective as a ratio, 0 to 1, without the digits that a division adds."""
        return round(self.objective / 100, 12)


class Queues(Section):
    """Which queues are watched, how they are discovered, and what is normal for them."""

    prefixes: Annotated[ShortStrings, AfterValidator(_distinct)] = ("bull",)
    """BullMQ's key prefixes. They may contain `:`, hash tags (`{bull}`) and glob characters; the
    longest prefix of a key wins.
    """
    include: Strings = ("*",)
    """Glob patterns; a queue is watched if its name matches any of them."""
    exclude: Strings = ()
    """Glob patterns; a queue whose name matches any of them is not watched."""
    static: ShortStrings = ()
    """Queue names that are watched under every prefix, whether or not discovery finds them."""
    discovery: bool = True
    """Whether to find queues by scanning the keyspace (SCAN); if off, only `static` is watched."""
    discovery_interval_seconds: Seconds = 60.0
    """Time from one scan of the keyspace to the next."""
    discovery_redis_share: Annotated[float, Field(gt=0, le=1)] = 0.01
    """The share of Redis' time that scans may take, at a microsecond for each key. A scan of many
    keys takes longer than the interval, then; the first one does not wait, since nothing is known
    before it has ended.
    """
    discovery_batch: Annotated[int, Field(ge=10, le=100_000)] = 1000
    """SCAN's COUNT, keys per page; pauses between pages keep Redis responsive to other clients."""
    max: Annotated[int, Field(ge=1)] = 10_000
    """Maximum number of queues per connection, prefix and shard; further ones are only counted, in
    `bullmq_exporter_queues_dropped`.
    """
    stuck_jobs_redis_share: Annotated[float, Field(gt=0, le=1)] = 0.01
    """The share of Redis' time that looking for stuck jobs may take, by what each command takes.
    What it cuts is done at later polls, and counted in `bullmq_exporter_stuck_looks_cut_total`:
    [Stuck jobs](operations.md#how-stuck-jobs-are-found).
    """
    shard: ShardSpec | None = None
    """`2/5`: this process watches the queues that hash to the second of five parts;
    `${POD_NAME}/5` uses the ordinal of a StatefulSet's pod:
    [Sharding](operations.md#sharding).
    """
    targets: dict[Annotated[str, Field(min_length=1)], Target] = {}

    def targets_of(self, names: Iterable[str]) -> dict[str, Target]:
        """The targets of the named queues that have any, by the queue's name."""
        patterns = [(_glob(pattern), target) for pattern, target in self.targets.items()]
        if not patterns:
            return {}
        found = ((name, _first_match(name, patterns)) for name in names)
        return {name: target for name, target in found if target is not None}

    @property
    def first_shard(self) -> bool:
        """Whether this process shows what is the same for all shards; true without shards."""
        return self.shard is None or self.shard.part == 1

    @model_validator(mode="after")
    def _something_to_watch(self) -> Self:
        if not self.discovery and not self.static:
            raise ValueError(
                "discovery is off and static is empty, so no queue would be watched; turn "
                "discovery on, or list queues in static"
            )
        return self


class Poll(Section):
    """How often queues are read, and when their samples are stale."""

    interval_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 5.0
    """Time from one poll to the next."""
    stale_after_seconds: Seconds = 15.0
    """Samples older than this are omitted; must be greater than `interval_seconds`."""
    blocked_after_seconds: Seconds = 60.0
    """A queue counts as blocked if its ready work has not moved for this long."""

    @model_validator(mode="after")
    def _outlives_a_poll(self) -> Self:
        if self.stale_after_seconds <= self.interval_seconds:
            raise ValueError(
                f"stale_after_seconds ({self.stale_after_seconds:g}) must be greater than "
                f"interval_seconds ({self.interval_seconds:g}); use three times as much"
            )
        return self


class Events(Section):
    """How the queues' event streams are read."""

    enabled: bool = True
    """Whether to read the event streams, for the counters and histograms of jobs."""
    job_names: bool = False
    """Whether to count jobs by name, in the label `job_name`."""
    max_job_names: Annotated[int, Field(ge=1)] = 100
    """Maximum number of job names per queue; the others are counted as `__other__`."""
    failure_classes: bool = False
    """Whether to count failed jobs by the class of their reason: the name of the error, known error
    codes, and common words. Everything else of a reason is left out:
    [Why jobs fail](operations.md#why-jobs-fail).
    """
    max_failure_classes: Annotated[int, Field(ge=1)] = 20
    """Maximum number of classes per queue; the others are counted as `__other__`."""
    max_inflight: Annotated[int, Field(ge=1)] = 100_000
    """Maximum number of jobs remembered between ready and finished, per connection."""
    page_bytes: Annotated[int, Field(ge=65_536, le=16_777_216)] = 4_194_304
    """Maximum size of one read; events of finished jobs contain return values."""
    histograms: Literal["classic", "native", "both"] = "both"
    """Buckets of the histograms of waiting, running and PING times: `classic`, a series for each of
    the bounds below; `native`, one series for all, which Prometheus reads in protobuf only; or
    `both` in protobuf, and classic ones in text. With `native`, the text formats have only sum and
    count: [Native histograms](operations.md#native-histograms).
    """
    wait_buckets: Buckets = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300, 900, 3600, 21600)
    """Bucket bounds of the histogram `bullmq_queue_job_wait_seconds`."""
    run_buckets: Buckets = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600)
    """Bucket bounds of the histogram `bullmq_queue_job_run_seconds`."""

    def classic_buckets(self, bounds: tuple[float, ...]) -> tuple[float, ...]:
        """The bounds that a histogram has; none if only native buckets are wanted."""
        return () if self.histograms == "native" else bounds

    @property
    def native_buckets(self) -> bool:
        """Whether histograms have native buckets."""
        return self.histograms != "classic"


class Sync(Section):
    """The sync test: whether connections see the same data."""

    enabled: bool = True
    """Whether to run the test; if off, the exporter never writes to Redis."""
    interval_seconds: Annotated[float, Field(ge=1, le=86400)] = 30.0
    """Time from one round of all pairs to the next."""
    timeout_seconds: Annotated[float, Field(gt=0, le=20)] = 2.0
    """How long a reader waits to see the writer's value."""
    key_prefix: Annotated[str, Field(min_length=1, max_length=200)] = "bullmq-exporter:sync"
    """Prefix of the test's keys."""
    groups: Groups = ()
    """Which connections must share a database, as lists of their names:
    `[[api, worker], [mail, mail-worker]]`. A connection in no group is tested only with itself. If
    empty, all connections must see each other:
    [Several databases](operations.md#several-databases).
    """

    def compares(self, writer: str, reader: str) -> bool:
        """Whether the reader must see what the writer writes."""
        if not self.groups or writer == reader:
            return True
        return any(writer in group and reader in group for group in self.groups)


class WebTLS(Section):
    """Certificates of the exporter's HTTP server."""

    cert_file: FilePath | None = None
    """PEM file of the server's certificate with its chain. If set, the server accepts only HTTPS.
    Reloaded when it changes: [TLS and authentication](operations.md#tls-and-authentication).
    """
    key_file: FilePath | None = None
    """PEM file of the certificate's key, unencrypted."""
    client_ca_file: FilePath | None = None
    """PEM file of CAs. If set, clients must present a certificate signed by one of them."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError(_PAIR)
        if self.client_ca_file is not None and self.cert_file is None:
            raise ValueError("client_ca_file requires cert_file and key_file; set them too")
        return self


class Web(Section):
    """The HTTP server."""

    tls: WebTLS = WebTLS()
    basic_auth_users: dict[UserName, Hash] = {}
    """User names with their bcrypt hashes, as `htpasswd -nB` writes them. If there is any user, all
    endpoints except `/-/healthy` and `/-/ready` require a password.
    """
    basic_auth_users_file: FilePath | None = None
    """A YAML file with further users, `name: hash`."""
    config_file: FilePath | None = None
    """A file with TLS and users in the format of Prometheus' exporters (`--web.config.file`),
    instead of the settings here:
    [TLS and authentication](operations.md#tls-and-authentication).
    """
    enable_lifecycle: bool = False
    """Whether `POST /-/reload` reloads the configuration, as SIGHUP does, and `POST /-/discover`
    looks for queues, as SIGUSR1 does, unless a page of another site sends it:
    [Reloading](operations.md#reloading).
    """
    show_failure_texts: bool = False
    """Whether pages and `/health/queues` show the last reason of each class of failures in full. It
    may contain anything that the application wrote into its errors.
    """
    links: dict[Annotated[str, Field(min_length=1, max_length=50)], LinkTemplate] = {}
    """Links on the page of each queue, to dashboards and runbooks, as name: URL. `{connection}`,
    `{prefix}` and `{queue}` stand for the names, percent-encoded:
    [The page of a queue](operations.md#the-page-of-a-queue).
    """
    max_concurrent_requests: Annotated[int, Field(ge=1, le=10_000)] = 40
    """Maximum number of requests that are answered at a time, half of it for one client; further
    ones receive 503. Probes and `/metrics` are always answered:
    [HTTP behaviour](operations.md#http-behaviour).
    """


class History(Section):
    """The last hour of each queue, for charts and for what scaling rests on."""

    max_bytes: Annotated[int, Field(ge=0)] = 40_000_000
    """Maximum memory for the points of all queues; 0 keeps none. A queue that changes has one every
    15 s; with more queues than fit, one every 30, 60 or 120 s, and then only blocked queues are
    sure to have any. `bullmq_exporter_history_bytes` and
    `bullmq_exporter_history_skipped_queues` show it: [History](operations.md#history).
    """


class Scaling(Section):
    """How many workers a backlog needs: [Scaling workers](operations.md#scaling-workers)."""

    drain_seconds: Seconds = 600.0
    """Time within which a backlog should be worked off; `/scale?drain_seconds=` overrides it."""


class Log(Section):
    """What is logged, and in which format."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged."""
    format: Literal["text", "json"] = "text"
    """Lines of text, or one JSON object per line."""


class Config(Section):
    """The whole configuration."""

    listen: HostPort = "0.0.0.0:9538"
    """Listen address of the HTTP server, `host:port`; an empty host means all interfaces."""
    connections: Annotated[dict[ConnectionName, Connection], Field(min_length=1)]
    queues: Queues = Queues()
    poll: Poll = Poll()
    events: Events = Events()
    sync: Sync = Sync()
    web: Web = Web()
    history: History = History()
    scaling: Scaling = Scaling()
    slos: Annotated[tuple[Slo, ...], Field(strict=False, max_length=50)] = ()
    log: Log = Log()

    def slos_of(self, name: str) -> tuple[Slo, ...]:
        """The SLOs of the queue with this name."""
        return tuple(slo for slo in self.slos if fnmatch.fnmatchcase(name, slo.match))
