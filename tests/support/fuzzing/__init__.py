"""What the fuzzing tests share: inputs, their number, and a Redis that answers anything."""
