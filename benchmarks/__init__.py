"""Measures the exporter's cost, and a floor for comparison in the same run."""
