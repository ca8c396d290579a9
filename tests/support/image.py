"""The Dockerfile: read, and its steps done in a folder, where no engine builds an image."""

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
    """An instruction with what it is given, options first."""

    name: str
    value: str

    @property
    def words(self) -> list[str]:
        """What is no option."""
        return [word for word in shlex.split(self.value) if not word.startswith("--")]

    @property
    def command(self) -> list[str]:
        """The words of an exec form."""
        found: list[str] = json.loads(self.value[self.value.index("[") :])
        return found


def stages() -> list[list[Step]]:
    """Each stage's steps, its FROM first; what is before the first is left out."""
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
    """What the context has: .dockerignore leaves out all but these, at its root."""
    lines = [line for line in IGNORE.read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    return [line[1:] for line in lines if line.startswith("!")]


@dataclass(frozen=True)
class Image:
    """The final stage, in a folder that stands for `/`."""

    root: Path

    def environment(self, **extra: str) -> dict[str, str]:
        """What a container gets: ENV, and nothing of this process but `extra`."""
        env = dict(re.findall(r"(\w+)=(\S+)", one(stages()[-1], "ENV").value))
        path = self._here(env["PATH"]).replace("$PATH", "/usr/bin:/bin")
        return env | {"PATH": path} | extra

    def command(self) -> list[str]:
        """What a container runs."""
        final = stages()[-1]
        first, *rest = one(final, "ENTRYPOINT").command + one(final, "CMD").command
        return [str(self.root / "opt" / "bullmq-exporter" / "bin" / first), *rest]

    def health(self, **extra: str) -> subprocess.CompletedProcess[bytes]:
        """Docker's look at the container's health."""
        program, *arguments = one(stages()[-1], "HEALTHCHECK").command
        env = self.environment(**extra)
        found = shutil.which(program, path=env["PATH"])
        assert found is not None
        return subprocess.run([found, *arguments], env=env, capture_output=True, check=False)

    def files(self) -> dict[Path, int]:
        """All of it, with the times of the last writes."""
        return {path: path.lstat().st_mtime_ns for path in self.root.rglob("*")}

    def _here(self, text: str) -> str:
        return text.replace(_INSTALLED, f"{self.root}{_INSTALLED}")


def one(stage: list[Step], name: str) -> Step:
    """The stage's only step of that name."""
    (step,) = [step for step in stage if step.name == name]
    return step


def build(folder: Path) -> Image:
    """COPY and RUN of the first stage, done here; the second takes what that installed."""
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
        assert name in admitted(), f".dockerignore leaves {name} out"
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / target, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / target)


def _run(command: str, source: Path) -> None:
    defaults = dict(step.value.split("=", 1) for step in stages()[0] if step.name == "ARG")
    python = Path(sys.executable).parent
    env = os.environ | defaults | {"PATH": f"{python}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-ec", command], cwd=source, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
