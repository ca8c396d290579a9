"""Everything that parses what comes from outside, fed with anything: `make fuzz`."""
