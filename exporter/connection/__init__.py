"""The one central door to Redis: clients, whom they reach, and what went wrong."""

from exporter.connection.backoff import Backoff
from exporter.connection.client import Argument, Batch, Client, Reply, pack
from exporter.connection.clients import Clients, open_client
from exporter.connection.dial import tls_context
from exporter.connection.errors import ErrorClass, NodeError, RedisFailure, ReplyError, failure_of
from exporter.connection.metadata import Info, Metadata, parse_info
from exporter.connection.sentinel import ask_sentinels
from exporter.connection.shapes import (
    all_lists,
    all_of,
    are_fields,
    are_texts,
    text,
    unexpected,
    whole,
)

__all__ = [
    "Argument",
    "Backoff",
    "Batch",
    "Client",
    "Clients",
    "ErrorClass",
    "Info",
    "Metadata",
    "NodeError",
    "RedisFailure",
    "Reply",
    "ReplyError",
    "all_lists",
    "all_of",
    "are_fields",
    "are_texts",
    "ask_sentinels",
    "failure_of",
    "open_client",
    "pack",
    "parse_info",
    "text",
    "tls_context",
    "unexpected",
    "whole",
]
