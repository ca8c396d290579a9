"""Long runs: mixed traffic with random faults, and everything counted afterwards."""
