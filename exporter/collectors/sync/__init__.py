"""The sync test: does every connection see what every other connection writes?

The only part of the exporter that writes: its own keys, always with a TTL.
"""

from exporter.collectors.sync.round import SyncTest
from exporter.collectors.sync.steps import COMMANDS

__all__ = ["COMMANDS", "SyncTest"]
