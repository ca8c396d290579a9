"""The demo: an embedded Valkey and live BullMQ traffic."""
