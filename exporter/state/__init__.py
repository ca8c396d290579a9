"""What the exporter knows: frozen facts, and where they are kept."""
