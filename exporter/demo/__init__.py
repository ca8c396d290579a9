"""The demo: embedded Valkey servers and live BullMQ traffic."""
