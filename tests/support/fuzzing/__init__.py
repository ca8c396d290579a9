"""Shared parts of the fuzz tests: inputs, their number, and a client with fuzzed replies."""
