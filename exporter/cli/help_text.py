"""What `--help` teaches beside the options: examples, and what the exit codes mean."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """A command that works as it stands, and what it is for."""

    command: str
    what: str
    stays: bool = False
    """Whether it goes on until it is stopped."""


@dataclass(frozen=True, slots=True)
class CommandHelp:
    """Of one command. Exit code 2, a wrong configuration or command line, is that of all."""

    examples: tuple[Example, ...]
    well: str
    """What exit code 0 means."""
    failed: str = ""
    """What exit code 1 means; empty where it cannot happen."""

    @property
    def exit_codes(self) -> dict[int, str]:
        codes = {0: self.well, 1: self.failed, 2: _WRONG}
        return {code: meaning for code, meaning in codes.items() if meaning}

    @property
    def epilog(self) -> str:
        """For click, which leaves paragraphs that begin with \\b as they are."""
        examples = "\n".join(f"  {each.command}\n      {each.what}" for each in self.examples)
        codes = "\n".join(f"  {code}  {meaning}" for code, meaning in self.exit_codes.items())
        return f"\b\nExamples:\n{examples}\n\n\b\nExit codes:\n{codes}"


_WRONG = "the configuration or the command line is wrong"

GROUP = """\
\b
Begin with:
  REDIS_URL=redis://localhost:6379/0 bullmq-exporter check
      Is Redis reached, safe for jobs, and allowed to be read?
  REDIS_URL=redis://localhost:6379/0 bullmq-exporter queues --once
      What waits, and why does it not move?
  REDIS_URL=redis://localhost:6379/0 bullmq-exporter run
      Serve /metrics on port 9538.

\b
Several services with Redis URLs of their own:
  REDIS_URL_API=... REDIS_URL_WORKER=... bullmq-exporter check

\b
Exit codes: 0 all is well, 1 a check or a start has failed, 2 the configuration
or the command line is wrong. NO_COLOR=1 leaves colours out.

\b
Shell completion, for bash (zsh and fish likewise):
  eval "$(_BULLMQ_EXPORTER_COMPLETE=bash_source bullmq-exporter)"
"""

COMMAND_HELP = {
    "run": CommandHelp(
        (
            Example(
                "REDIS_URL=redis://localhost:6379/0 bullmq-exporter run",
                "Serve on port 9538 until SIGTERM or Ctrl-C; no file is needed.",
                stays=True,
            ),
            Example(
                "bullmq-exporter run --config config.yaml --listen 127.0.0.1:9538",
                "With a file, on this machine only.",
                stays=True,
            ),
            Example(
                "bullmq-exporter run --once | grep bullmq_queue_jobs",
                "What one page would have, without a server.",
            ),
        ),
        "it was stopped; with --once, every Redis was reached",
        "it cannot listen there; with --once, a Redis was not reached",
    ),
    "queues": CommandHelp(
        (
            Example("bullmq-exporter queues", "The table, live on a terminal."),
            Example(
                "bullmq-exporter queues --once --blocked --sort oldest",
                "Only what does not move, the longest wait first.",
            ),
            Example(
                "bullmq-exporter queues --once --json --filter 'mail*' | jq -r .verdict",
                "For scripts.",
            ),
        ),
        "every Redis was reached, whatever waits; the live table was stopped",
        "a Redis was not reached",
    ),
    "check": CommandHelp(
        (
            Example("bullmq-exporter check", "Every connection, every pair, one verdict."),
            Example(
                "bullmq-exporter check --connection default --json | jq -r .verdict",
                "One connection, for scripts.",
            ),
        ),
        "all is well, warnings aside",
        "a step or a pair has failed; the last line says which",
    ),
    "config": CommandHelp(
        (
            Example("bullmq-exporter config", "What is in force, with every default."),
            Example(
                "bullmq-exporter config --check --config config.yaml",
                "Every mistake at once, with its line; for CI.",
            ),
        ),
        "it is valid",
    ),
    "rules": CommandHelp(
        (
            Example("bullmq-exporter rules --list", "The alerts, and what can be set."),
            Example("bullmq-exporter rules > bullmq.rules.yml", "A file for Prometheus."),
            Example(
                "bullmq-exporter rules --set NoWorkers.for=10m --without EventGap --label team=a",
                "With a longer wait, one alert less, and a label on all.",
            ),
            Example(
                "bullmq-exporter rules --format prometheusrule --namespace monitoring",
                "For the Prometheus operator; pipe it to kubectl apply -f -.",
            ),
        ),
        "they were printed",
    ),
    "demo": CommandHelp(
        (
            Example("bullmq-exporter demo", "Everything flows.", stays=True),
            Example(
                "bullmq-exporter demo --scenario isolation --prometheus",
                "Jobs in one Redis, workers on another, and alerts that fire.",
                stays=True,
            ),
        ),
        "it was stopped",
        "the extra `demo` or a program is missing, or it cannot listen there",
    ),
}
"""By the command's name."""
