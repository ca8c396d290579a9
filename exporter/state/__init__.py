"""The exporter's state: immutable facts, and the store that holds them."""
