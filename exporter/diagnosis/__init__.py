"""What facts mean, in words. Pure."""

from exporter.diagnosis.sync import differing, explain_pair, verdict

__all__ = ["differing", "explain_pair", "verdict"]
