"""The parts of `--help` besides the options: examples and exit codes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """A command that runs as it is, and its purpose."""

    command: str
    purpose: str
    runs_until_stopped: bool = False


@dataclass(frozen=True, slots=True)
class CommandHelp:
    """Examples and exit codes of one command. Exit code 2 means the same for every command."""

    examples: tuple[Example, ...]
    success: str
    """The meaning of exit code 0."""
    failure: str = ""
    """The meaning of exit code 1; empty if the command never exits with 1."""

    @property
    def exit_codes(self) -> dict[int, str]:
        """The meaning of each exit code that the command uses."""
        codes = {0: self.success, 1: self.failure, 2: _INVALID}
        return {code: meaning for code, meaning in codes.items() if meaning}

    @property
    def epilog(self) -> str:
        """The text below the options; click does not rewrap paragraphs that start with \\b."""
        examples = "\n".join(f"  {each.command}\n      {each.purpose}" for each in self.examples)
        codes = "\n".join(f"  {code}  {meaning}" for code, meaning in self.exit_codes.items())
        return f"\b\nExamples:\n{examples}\n\n\b\nExit codes:\n{codes}"


_INVALID = "the configuration or the command line is invalid"

GROUP = """\
\b
Start with:
  REDIS_URL=redis://localhost:6379/0 bullmq-exporter check
      Can the exporter reach and read Redis, and is Redis safe for jobs?
  REDIS_URL=redis://localhost:6379/0 bullmq-exporter queues --once
      Which jobs are waiting, and why?
  REDIS_URL=redis://localhost:6379/0 bullmq-exporter run
      Serve /metrics on port 9538.

\b
If each service has its own Redis URL:
  REDIS_URL_API=... REDIS_URL_WORKER=... bullmq-exporter check

\b
Exit codes: 0 success, 1 a check or the start failed, 2 the configuration or
the command line is invalid. NO_COLOR=1 disables colors.

\b
Shell completion for bash (similar for zsh and fish):
  eval "$(_BULLMQ_EXPORTER_COMPLETE=bash_source bullmq-exporter)"
"""

COMMAND_HELP = {
    "run": CommandHelp(
        (
            Example(
                "REDIS_URL=redis://localhost:6379/0 bullmq-exporter run",
                "Serve on port 9538 until SIGTERM or Ctrl-C, without a configuration file.",
                runs_until_stopped=True,
            ),
            Example(
                "bullmq-exporter run --config config.yaml --listen 127.0.0.1:9538",
                "Use a configuration file, and listen on this machine only.",
                runs_until_stopped=True,
            ),
            Example(
                "bullmq-exporter run --once | grep bullmq_queue_size",
                "Print the metrics once, without a server.",
            ),
        ),
        "stopped by a signal; with --once, every Redis was reached",
        "cannot listen on the address; with --once, a Redis was not reached",
    ),
    "top": CommandHelp(
        (
            Example(
                "bullmq-exporter top",
                "Watch all queues; the last line says what each key does.",
                runs_until_stopped=True,
            ),
            Example(
                "bullmq-exporter top --blocked --sort oldest",
                "Watch blocked queues, the longest wait first.",
                runs_until_stopped=True,
            ),
        ),
        "left with q, Ctrl-C or a signal",
    ),
    "queues": CommandHelp(
        (
            Example("bullmq-exporter queues", "Show the table; on a terminal the same as `top`."),
            Example(
                "bullmq-exporter queues --once --blocked --sort oldest",
                "Show only blocked queues, the longest wait first.",
            ),
            Example(
                "bullmq-exporter queues --once --json --filter 'mail*' | jq -r .verdict",
                "Print the verdict on some queues, for scripts.",
            ),
        ),
        "every Redis was reached, even if queues are blocked; or the live table was stopped",
        "a Redis was not reached",
    ),
    "check": CommandHelp(
        (
            Example("bullmq-exporter check", "Test every connection and every pair of them."),
            Example(
                "bullmq-exporter check --connection default --json | jq -r .verdict",
                "Test one connection and print the verdict, for scripts.",
            ),
        ),
        "no step failed; there may be warnings",
        "a step or a pair failed; the last line says which",
    ),
    "config": CommandHelp(
        (
            Example("bullmq-exporter config", "Print the effective configuration."),
            Example(
                "bullmq-exporter config --check --config config.yaml",
                "Report all errors at once, with their lines; for CI.",
            ),
        ),
        "the configuration is valid",
    ),
    "rules": CommandHelp(
        (
            Example("bullmq-exporter rules --list", "List the alerts and their settings."),
            Example("bullmq-exporter rules > bullmq.rules.yml", "Write a rules file."),
            Example(
                "bullmq-exporter rules --set NoWorkers.for=10m --without EventGap --label team=a",
                "Change a duration, omit an alert, and add a label to all alerts.",
            ),
            Example(
                "bullmq-exporter rules --status-url https://bullmq.example "
                "--runbook-url https://wiki.example/bullmq",
                "Link alerts to your exporter and runbook.",
            ),
            Example(
                "bullmq-exporter rules --format prometheusrule --namespace monitoring",
                "Print a PrometheusRule; pipe it to kubectl apply -f -.",
            ),
            Example(
                "bullmq-exporter rules --format grafana > bullmq-alerts.yaml",
                "Write alerts that Grafana evaluates, for its file provisioning.",
            ),
            Example(
                "bullmq-exporter rules --slo > bullmq-slos.rules.yml",
                "Write only the rules of SLOs.",
            ),
        ),
        "the rules were printed",
    ),
    "demo": CommandHelp(
        (
            Example("bullmq-exporter demo", "Run healthy queues.", runs_until_stopped=True),
            Example(
                "bullmq-exporter demo --scenario isolation --prometheus",
                "Put jobs in one Redis and workers on another, and watch alerts fire.",
                runs_until_stopped=True,
            ),
        ),
        "stopped by a signal",
        "the extra `demo` or a program is missing, or it cannot listen on the address",
    ),
}
"""By the command's name."""
