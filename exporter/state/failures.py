"""Why jobs fail: classes of `failedReason` without any of the payload. Pure.

A reason is a text that the application wrote: it may quote a customer's name, a password or a whole
request. What a class may contain is therefore a positive list: the name of an error type at the
start, known error codes, and words of `_WORDS`. Everything else becomes `…`.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from exporter.parsing import OTHER

UNCLASSIFIED: Final = "unclassified"
"""The class of a reason without any known word."""

_GAP: Final = "…"
_MAX_REASON: Final = 1000
"""Characters of a reason that are looked at."""
_ANY_DIGIT: Final = bytes.maketrans(b"0123456789", b"0" * 10)
_MAX_CLASS: Final = 80
"""Characters of a class."""
MAX_TEXT: Final = 300
"""Characters of the example that is kept."""

_ERROR_NAME: Final = re.compile(
    r"\s*(?:Uncaught |\[)?((?:[A-Z][A-Za-z]{0,15}\.){0,2}[A-Z][A-Za-z]{0,30}"
    r"(?:Error|Exception|Timeout|Failure|Warning)|Error)\d{0,2}(?=[:\]\s(,]|$)"
)
# what cannot be a word: URLs, addresses, paths, quoted text, anything in braces, and tokens with
# digits or signs in them, such as IDs; then words
_TOKEN: Final = re.compile(
    r"""\w+://\S+|\S*@\S*|(?:[A-Za-z]:)?[\w.~-]*[/\\]\S*|
        "[^"]*"?|“[^”]*”?|`[^`]*`?|(?<!\w)'[^']*'?|\{.*|\[[^\]]*\]?|<[^>]*>|
        [\w'.-]*\w""",
    re.VERBOSE,
)
_CODE: Final = re.compile(r"[A-Z][A-Z_]{2,40}")
_WORD: Final = re.compile(r"[A-Za-z]+(?:'t)?")

_CODE_LIST: Final = """
    EAI_AGAIN ENOTFOUND ESOCKETTIMEDOUT ERR_HTTP_INVALID_STATUS_CODE ABORT_ERR CERT_HAS_EXPIRED
    DEPTH_ZERO_SELF_SIGNED_CERT SELF_SIGNED_CERT_IN_CHAIN UNABLE_TO_VERIFY_LEAF_SIGNATURE
    ERR_BAD_REQUEST ERR_BAD_RESPONSE ERR_NETWORK UND_ERR_CONNECT_TIMEOUT UND_ERR_HEADERS_TIMEOUT
    UND_ERR_SOCKET MODULE_NOT_FOUND ERR_MODULE_NOT_FOUND ERR_INVALID_ARG_TYPE ERR_INVALID_URL
    ERR_CANCELED
    OOM MISCONF NOAUTH NOPERM READONLY LOADING BUSY MOVED CROSSSLOT WRONGTYPE NOSCRIPT CLUSTERDOWN
    TRYAGAIN MASTERDOWN NOREPLICAS UNKILLABLE WRONGPASS
    HTTP HTTPS TLS SSL TCP DNS JSON XML CSV PDF SQL SMTP IMAP SSH FTP API URL URI GET POST PUT
    PATCH DELETE HEAD OPTIONS UTF ASCII UUID CORS OAUTH JWT NULL
"""
_CODES: Final = frozenset([*errno.errorcode.values(), *_CODE_LIST.split()])
"""Error codes of the system, Node and Redis, and names of protocols."""

_WORD_LIST: Final = """
    a abort aborted aborting accept acceptable access account acquire acquired action active actual
    add adding address after again against all allocate allocation allow allowable allowed already
    am ambiguous amount an and another any api application are argument arguments array as
    assertion assign assignment at attempt attempted attempts attribute auth authenticate
    authenticated authentication authorization authorized availability available await back bad
    batch be because been before being between big blocked body boolean bound broken broker buffer
    busy but by byte bytes cache call callback called caller can can't cancel canceled cancelled
    cannot capacity case certificate chain change changed channel character charset check child
    children circuit circular class clean client clock close closed closing cluster code collection
    column command commit compile compiled complete completed concurrent config configuration
    configured conflict connect connected connecting connection connections constant constraint
    constructor contain contains content context conversion convert copy corrupt corrupted could
    couldn't count create created creating credential credentials cross current currently data
    database date deadline deadlock debug declared decline declined decode decoding decrypt default
    defined delete deleted denied dependencies dependency deprecated depth descriptor deserialize
    destination destroyed did didn't directory disabled disallowed disconnect disconnected disk
    dispatch division dns do does doesn't domain don't done down download driver due duplicate
    during each element email empty enabled encode encoding encountered encrypt end ended endpoint
    enough ensure entity entries entry environment error errors evaluate event ever exceed exceeded
    exceeds exception exclusive exec execute executed executing execution exhausted exist existing
    exists exit exited expected expiration expire expired expires export expression external extra
    fail failed failing fails failure fatal feature fetch fetching field fields file files
    finalized find finish finished first flow for forbidden foreign format forward found from full
    function gateway generate get getting given go gone got graceful group had handle handled
    handler handling handshake has hash hasn't have header headers heap height here host hostname
    http id identifier idle if ignored illegal image import in inactive incoming incompatible
    incomplete incorrect increment index infinite information initialization initialize initialized
    inner input insert inside instance instead insufficient integer integrity interface internal
    interrupted into invalid invocation invoke is isn't issue it item items iterable its job jobs
    key keys kill killed language large last later latest left length less level library limit
    limited limits line list listen load loading local locate lock locked log login long longer
    lookup loop lost mail main malformed many map mapping match matched matching maximum media
    memory message messages method migration min minimum mismatch missing mode model module more
    most move moved multiple must name native need needed needs negative nested network never new
    next no node none not nothing null number object of off offline offset on once one only open
    operation operator option optional options or order origin out outside over overflow
    overlapping own owner package page paid parent parse parsed parsing part partial partition
    password path pattern payload payment peer pending per perform permission permissions permitted
    pipe plugin pool port position positive possible post precision prepare present previous
    primary private privilege privileges process processed processing processor produce prohibited
    promise properties property protocol provide provided provider proxy public query queue queued
    quota quotation range rate reach reached read readable reader reading ready reason receive
    received recipient reconnect record records recursion redirect redirects redis reference
    refused region register registered reject rejected rejection relation release released remote
    remove removed render replica replication reply request requested requests require required
    requires reserved reset resolution resolve resolved resource resources respond response
    responses restart result results retries retry retrying return returned revoked rollback route
    row rows rule run running runtime same sandbox save schema scope script search second seconds
    secret secure security seems segment select self send sending sent sequence serializable
    serialize server service session set setting shard should shut shutdown shutting side signal
    signature size small so socket source space specified stack stale stall stalled start started
    starting state statement status step still stop stopped storage store stored stream string
    structure subscribe subscription success successful such suspended switch symbol sync syntax
    system table tag target task template temporarily temporary terminate terminated terminating
    test than that the their them then there these they this thread threw throttled throttling
    through throw thrown ticket time timed timeout timer times timestamp to token too top topic
    total trace transaction transfer transform transient translation tree truncated try trying type
    types unable unauthorized unavailable uncaught undefined underlying unexpected unhandled unique
    unit unknown unless unprocessable unreachable unrecognized unrecoverable unresolved unsupported
    until up update updated upload upstream url usage use used user using valid validate validation
    value values variable verification verify version view violate violated violates violation
    volume wait waiting was wasn't webhook when where which while who width with within without
    won't worker workers write writing written wrong yet you your zero
"""
_WORDS: Final = frozenset(_WORD_LIST.split())
"""Words of error messages. None of them is a name, so that none of them identifies anybody."""


@dataclass(frozen=True, slots=True)
class FailureClass:
    """The failures of one class since the exporter first saw the queue."""

    count: int
    first_ms: int
    """Unix ms of the first one, by the server's clock."""
    last_ms: int
    job: bytes
    """The ID of the job that failed last."""
    reason: bytes
    """Its reason, truncated. It may contain anything: `example` redacts it."""


Failures = Mapping[str, FailureClass]
"""By class."""


class FailureClasses:
    """The failures of one queue by class; those beyond the maximum count as `OTHER`."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._classes: dict[str, FailureClass] = {}
        self._frozen: Mapping[str, FailureClass] | None = None

    def add(self, reason: bytes, job: bytes, at: int) -> None:
        """Count a failure; `at` is its time in Unix ms."""
        # digits make no difference, and IDs and times in reasons would leave the cache without hits
        name = failure_class(reason[:_MAX_REASON].translate(_ANY_DIGIT))
        before = self._classes.get(name)
        if before is None and len(self._classes) - (OTHER in self._classes) >= self._maximum:
            name = OTHER
            before = self._classes.get(name)
        count, first = (1, at) if before is None else (before.count + 1, before.first_ms)
        self._classes[name] = FailureClass(count, first, at, job, reason[:MAX_TEXT])
        self._frozen = None

    def frozen(self) -> Mapping[str, FailureClass]:
        """The current classes; the same object until the next failure."""
        if self._frozen is None:
            self._frozen = dict(self._classes)
        return self._frozen


def example(failures: FailureClass, *, in_full: bool) -> str:
    """The reason of the class's last failure, redacted unless it is wanted in full."""
    text = failures.reason.decode("utf-8", "replace")
    return text if in_full else redacted(text)


@lru_cache(maxsize=1024)
def failure_class(reason: bytes) -> str:
    """The class of a reason: the same for reasons that differ only in what a payload may contain.

    Never empty.
    """
    found = redacted(reason.partition(b"\n")[0].decode("utf-8", "replace"))
    if len(found) > _MAX_CLASS:
        found = found[: _MAX_CLASS + 1].rpartition(" ")[0]
    cut = found.strip(f" {_GAP}:")
    return cut if re.search("[A-Za-z]", cut) else UNCLASSIFIED


@lru_cache(maxsize=1024)  # each page shows the same examples again
def redacted(text: str) -> str:
    """The text with `…` for everything that may be a part of a payload."""
    head = _ERROR_NAME.match(text)
    parts: list[str] = []
    if head is not None:
        parts.append(head[1])
        text = text[head.end() :].lstrip("])")
        if text.startswith(":"):
            parts[0] += ":"
            text = text[1:]
    for token in _TOKEN.findall(text):
        known = _known(token)
        if known or not parts or parts[-1] != _GAP:
            parts.append(known or _GAP)
    return " ".join(parts)


def _known(token: str) -> str | None:
    """The token as it may be shown; None if it may be a part of a payload."""
    if _CODE.fullmatch(token) and token in _CODES:
        return token
    lower = token.lower()
    return lower if _WORD.fullmatch(token) and lower in _WORDS else None
