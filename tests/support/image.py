"""Parses the Dockerfile, and runs its steps in a folder instead of a container engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "Dockerfile"
IGNORE = ROOT / ".dockerignore"

_INSTALLED = "/opt/"


@dataclass(frozen=True)
class Step:
    """An instruction with its arguments, options first."""

    name: str
    value: str

    @property
    def words(self) -> list[str]:
        """The arguments that are not options."""
        return [word for word in shlex.split(self.value) if not word.startswith("--")]

    @property
    def command(self) -> list[str]:
        """The words of an exec form."""
        found: list[str] = json.loads(self.value[self.value.index("[") :])
        return found


def stages() -> list[list[Step]]:
    """The steps of each stage, starting with FROM; without those before the first stage."""
    found: list[list[Step]] = []
    with FILE.open("rb") as file:
        structure = DockerfileParser(fileobj=file).structure
    for row in structure:
        if row["instruction"] == "FROM":
            found.append([])
        if found and row["instruction"] != "COMMENT":
            found[-1].append(Step(row["instruction"], row["value"]))
    return found


def admitted() -> list[str]:
    """The names in the root of the build context; .dockerignore excludes all others."""
    lines = [line for line in IGNORE.read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    return [line[1:] for line in lines if line.startswith("!")]


@dataclass(frozen=True)
class Image:
    """The final stage, in a folder that stands for `/`."""

    root: Path

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment of a container: ENV plus `extra`, without this process's."""
        env = dict(re.findall(r"(\w+)=(\S+)", one(stages()[-1], "ENV").value))
        path = self._here(env["PATH"]).replace("$PATH", "/usr/bin:/bin")
        return env | {"PATH": path} | extra

    def command(self, arguments: list[str] | None = None) -> list[str]:
        """The command of a container, or with these arguments instead of CMD."""
        final = stages()[-1]
        rest = one(final, "CMD").command if arguments is None else arguments
        (first,) = one(final, "ENTRYPOINT").command
        return [str(self.root / "opt" / "bullmq-exporter" / "bin" / first), *rest]

    def health(self, **extra: str) -> subprocess.CompletedProcess[bytes]:
        """Run the container's health check."""
        program, *arguments = one(stages()[-1], "HEALTHCHECK").command
        env = self.environment(**extra)
        found = shutil.which(program, path=env["PATH"])
        assert found is not None
        return subprocess.run([found, *arguments], env=env, capture_output=True, check=False)

    def files(self) -> dict[Path, int]:
        """All files, with their modification times."""
        return {path: path.lstat().st_mtime_ns for path in self.root.rglob("*")}

    def _here(self, text: str) -> str:
        return text.replace(_INSTALLED, f"{self.root}{_INSTALLED}")


def one(stage: list[Step], name: str) -> Step:
    """The stage's only step of that name."""
    (step,) = [step for step in stage if step.name == name]
    return step


def build(folder: Path) -> Image:
    """Run COPY and RUN of the first stage here; the second stage copies the result."""
    source, root = folder / "src", folder / "root"
    (root / "opt").mkdir(parents=True)
    source.mkdir()
    for step in stages()[0]:
        if step.name == "COPY":
            _copy(step.words, source)
        elif step.name == "RUN":
            _run(step.value.replace(_INSTALLED, f"{root}{_INSTALLED}"), source)
    return Image(root)


def _copy(words: list[str], source: Path) -> None:
    *files, target = words
    for name in files:
        assert name in admitted(), f".dockerignore excludes {name}"
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / target, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / target)


def _run(command: str, source: Path) -> None:
    arguments = (step.value.partition("=") for step in stages()[0] if step.name == "ARG")
    defaults = {name: value for name, _, value in arguments}
    python = Path(sys.executable).parent
    env = os.environ | defaults | {"PATH": f"{python}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-ec", command], cwd=source, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
