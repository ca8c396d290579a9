"""Fuzz tests of everything that parses external data: `make fuzz`."""
