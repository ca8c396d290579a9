"""`make lock` pins what the image and a release install, with hashes, in deploy/requirements/.

Pins that still fit stay as they are, unless `--upgrade` is given.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "requirements"
_BACKEND = "hatchling"
_INPUTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # extras of the project, and other requirements
    "image": (("fast",), ()),
    "demo": (("fast", "demo"), ()),
    # setuptools and wheel: for what is built from source where there is no wheel
    "build": ((), (_BACKEND, "setuptools", "wheel")),
    "release": ((), (_BACKEND, "build", "twine")),
}
_HEAD = "# Written by `make lock`, from pyproject.toml and .ci/lock.py.\n"


def main(*options: str) -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for name, (extras, requirements) in _INPUTS.items():
        file = FOLDER / f"{name}.txt"
        upgrade = "--upgrade" in options
        file.write_text(_HEAD + _compiled(file, extras, requirements, upgrade=upgrade))


def _compiled(
    file: Path, extras: tuple[str, ...], requirements: tuple[str, ...], *, upgrade: bool
) -> str:
    """The pins, for every supported Python and platform."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output.txt"
        if file.exists() and not upgrade:
            shutil.copy(file, output)
        inputs = [str(ROOT / "pyproject.toml"), *(f"--extra={extra}" for extra in extras)]
        if requirements:
            listed = Path(folder) / "input.in"
            listed.write_text("\n".join(requirements))
            inputs = [str(listed)]
        options = ("--quiet", "--universal", "--python-version=3.11", "--generate-hashes")
        shape = ("--no-header", "--no-annotate", "--no-emit-index-url", "--output-file")
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "pip", "compile", *options, *shape, str(output), *inputs], check=True)
        return output.read_text()


if __name__ == "__main__":
    main(*sys.argv[1:])
