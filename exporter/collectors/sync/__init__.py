"""The sync test: does every connection see what every other one writes?

The only place where the exporter writes: keys of its own, always with a TTL.
"""

from exporter.collectors.sync.round import SyncTest
from exporter.collectors.sync.steps import COMMANDS

__all__ = ["COMMANDS", "SyncTest"]
