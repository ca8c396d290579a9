"""`make brand OWNER=acme` sets the owner in every address: repository, site, image and chart.

Until it has run, the owner is the placeholder OWNER. The repository's address in pyproject.toml
says what the owner is now, so the command can be repeated, and reverted, at any time.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?")
_REPOSITORY = "https://github.com/"


def main(*arguments: str) -> int:
    """Return the exit code: 2 if there is not one owner, as GitHub names them."""
    if len(arguments) != 1 or not _OWNER.fullmatch(arguments[0]):
        sys.stderr.write("usage: make brand OWNER=acme, a user or an organization of GitHub\n")
        return 2
    now, changed = owner_of(ROOT), 0
    for file in _tracked():
        try:
            before = file.read_text()
        except UnicodeDecodeError:
            continue  # an image
        after = branded(before, now, arguments[0])
        if after != before:
            file.write_text(after)
            changed += 1
    sys.stdout.write(f"{changed} files changed\n")
    return 0


def owner_of(root: Path) -> str:
    """The owner in pyproject.toml."""
    urls = tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"]
    return str(urls["Repository"]).removeprefix(_REPOSITORY).partition("/")[0]


def branded(text: str, now: str, owner: str) -> str:
    """The text with the new owner in every address.

    Names of images and hosts have no capitals, but for the placeholder, which must not work.
    """
    lower = owner if owner == "OWNER" else owner.lower()
    old = re.escape(now)
    for pattern, new in (
        (rf"(?<=--repo ){old}(?=/)", owner),
        (rf"(?<=github\.com/){old}(?![\w-])", owner),
        (rf"(?<=ghcr\.io/){old}(?![\w-])", lower),
        (rf"(?<=https://){old}(?=\.github\.io)", lower),
    ):
        text = re.sub(pattern, new, text, flags=re.IGNORECASE)
    return text


def _tracked() -> list[Path]:
    """The files of the repository, with those that are not committed yet."""
    # git is wherever the developer has installed it
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [file for file in files if file.is_file() and not file.is_symlink()]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
