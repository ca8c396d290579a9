"""The sync test: does every connection see what the others of its group write?

The only part of the exporter that writes: its own keys, always with a TTL.
"""

from exporter.collectors.sync.round import SyncTest
from exporter.collectors.sync.steps import COMMANDS

__all__ = ["COMMANDS", "SyncTest"]
