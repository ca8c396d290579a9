"""The only access to Redis: clients, the servers they reach, and classified errors."""

from exporter.connection.backoff import Backoff
from exporter.connection.client import Argument, Client, Replies, Reply, pack
from exporter.connection.command import (
    CONNECTION_COMMANDS,
    DBSIZE,
    INFO,
    KEY,
    TIME,
    Command,
    reply_limit,
)
from exporter.connection.errors import (
    ONE_NODE,
    ErrorClass,
    NodeError,
    RedisFailure,
    ReplyError,
    failure_of,
)
from exporter.connection.metadata import Info, Metadata, parse_info
from exporter.connection.registry import ClientRegistry, open_client
from exporter.connection.replies import (
    expect_int,
    expect_lists,
    expect_string,
    expect_type,
    is_field_list,
    is_string_list,
    unexpected,
)
from exporter.connection.reply_bound import MAX_BATCH_BYTES, OversizedReplyError

__all__ = [
    "CONNECTION_COMMANDS",
    "DBSIZE",
    "INFO",
    "KEY",
    "MAX_BATCH_BYTES",
    "ONE_NODE",
    "TIME",
    "Argument",
    "Backoff",
    "Client",
    "ClientRegistry",
    "Command",
    "ErrorClass",
    "Info",
    "Metadata",
    "NodeError",
    "OversizedReplyError",
    "RedisFailure",
    "Replies",
    "Reply",
    "ReplyError",
    "expect_int",
    "expect_lists",
    "expect_string",
    "expect_type",
    "failure_of",
    "is_field_list",
    "is_string_list",
    "open_client",
    "pack",
    "parse_info",
    "reply_limit",
    "unexpected",
]
