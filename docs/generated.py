"""`python -m docs.generated` updates the generated parts of hand-written pages, and Alertmanager's
example."""

from __future__ import annotations

import re
from pathlib import Path

from exporter.check.permissions import acl_commands
from exporter.findings.alertmanager import alertmanager_config
from exporter.rules import ALERTS
from exporter.web import endpoints

ROOT = Path(__file__).parents[1]
_ACL = re.compile(r"^(ACL SETUSER monitor on >password )(.*)$", re.MULTILINE)
_ALERTS = re.compile(r"^\d+(?= alerts are in )", re.MULTILINE)
_ENDPOINTS = re.compile(r"(<!-- endpoints -->\n)[^<]*(<!-- end -->)")


def pages() -> dict[Path, str]:
    """Path → the file, with its generated parts up to date."""
    readme, operations = ROOT / "README.md", ROOT / "docs" / "operations.md"
    alertmanager = ROOT / "prometheus" / "alertmanager.yml"
    introduction = _ALERTS.sub(str(len(ALERTS)), readme.read_text())
    return {
        readme: _ENDPOINTS.sub(rf"\1{endpoints.markdown()}\n\2", introduction),
        alertmanager: alertmanager_config(),
        operations: _ACL.sub(_acl_line, operations.read_text()),
    }


def _acl_line(line: re.Match[str]) -> str:
    """The line with its key patterns and all commands; sync commands only with the sync keys."""
    keys = [word for word in line[2].split() if word.startswith(("~", "%"))]
    commands = acl_commands(sync=any("sync" in key for key in keys))
    return line[1] + " ".join([*keys, "-@all", *commands])


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text)
