"""`python -m exporter` is `bullmq-exporter`."""

from exporter.cli import main

main()
