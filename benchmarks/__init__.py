"""What the exporter costs, beside a floor that is measured in the same run."""
