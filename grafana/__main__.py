"""`python -m grafana [FOLDER]` generates the dashboards to provision and those to import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from grafana import exporter, overview, queue, redis_sync, slos
from grafana.importable import importable

FOLDER: Final = Path(__file__).parent


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
    """Write every dashboard twice: to `dashboards` for provisioning, to `import` with an input."""
    for name, text in dashboards().items():
        for kind, content in (("dashboards", text), ("import", importable(text))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / name).write_text(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
