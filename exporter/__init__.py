"""Prometheus exporter for BullMQ queues."""

__version__ = "0.1.0"
