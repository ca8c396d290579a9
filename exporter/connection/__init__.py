"""The one central door to Redis: clients, whom they reach, and what went wrong."""

from exporter.connection.backoff import Backoff
from exporter.connection.client import Argument, Client, Replies, Reply, pack
from exporter.connection.command import CONNECTION_COMMANDS, DBSIZE, INFO, KEY, TIME, Command
from exporter.connection.errors import ErrorClass, NodeError, RedisFailure, ReplyError, failure_of
from exporter.connection.metadata import Info, Metadata, parse_info
from exporter.connection.registry import ClientRegistry, open_client
from exporter.connection.replies import (
    are_fields,
    are_texts,
    expect_int,
    expect_lists,
    expect_type,
    text,
    unexpected,
)

__all__ = [
    "CONNECTION_COMMANDS",
    "DBSIZE",
    "INFO",
    "KEY",
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
    "RedisFailure",
    "Replies",
    "Reply",
    "ReplyError",
    "are_fields",
    "are_texts",
    "expect_int",
    "expect_lists",
    "expect_type",
    "failure_of",
    "open_client",
    "pack",
    "parse_info",
    "text",
    "unexpected",
]
