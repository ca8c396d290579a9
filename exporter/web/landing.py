"""The landing page: where to find what."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Final

from exporter import __version__
from exporter.web.links import LINKS

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;"
    "color-scheme:light dark}code{font-size:.95em}dt{margin-top:.8rem}dd{margin:0}"
)

STYLE_HASH: Final = "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"""By which a content security policy allows the page's style and no other."""


def landing_page() -> str:
    """A page without script that links every endpoint."""
    entries = "\n".join(
        f'<dt><a href="{path.removeprefix("/")}"><code>{escape(path)}</code></a></dt>'
        f"<dd>{escape(text)}</dd>"
        for path, text in LINKS
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>bullmq-exporter</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>bullmq-exporter {escape(__version__)}</h1>
<dl>
{entries}
</dl>
</body>
</html>
"""
