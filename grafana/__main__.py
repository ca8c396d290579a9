"""`python -m grafana [FOLDER]` generates the dashboards in FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from grafana import exporter, overview, queue, redis_sync, slos

FOLDER: Final = Path(__file__).parent / "dashboards"


def dashboards() -> dict[str, str]:
    """File name → JSON."""
    return {
        "bullmq-overview.json": overview.dashboard(),
        "bullmq-queue.json": queue.dashboard(),
        "bullmq-redis.json": redis_sync.dashboard(),
        "bullmq-exporter.json": exporter.dashboard(),
        "bullmq-slos.json": slos.dashboard(),
    }


def main(folder: Path) -> None:
    """Write every dashboard."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in dashboards().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
