"""What runs a template as its CI system would: small, and faithful in what the scripts can notice.

GitHub: https://docs.github.com/actions/reference/workflows-and-actions (metadata syntax, workflow commands); GitLab:
https://docs.gitlab.com/runner/shells/; Azure: https://learn.microsoft.com/azure/devops/pipelines/process/variables.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy" / "ci"
RELEASE = DEPLOY / "shell" / "release.sh"
SECONDS = 120.0
SECRETS = ("TRUSTKIT_CI_PASSWORD", "TRUSTKIT_CI_SIGNER_KEY", "TRUSTKIT_SIGNER_PASSPHRASE")


@dataclass
class Ran:
    """How a job ended: its status, all it wrote, what its system took for commands, and its reports."""

    status: int
    raw: str
    reports: Path
    commands: list[str] = field(default_factory=list)


@dataclass
class Job:
    """One job's folders and environment: nothing of the machine's but a PATH, and nobody at a terminal.

    Args:
        path: the PATH, with the trustkit under test, or without where the job installs one.
        settings: by the names that release.sh has for them.
    """

    folder: Path
    path: str
    settings: Mapping[str, str]
    more: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("work", "home", "temp", "runner"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def leftovers(self) -> list[Path]:
        """What is left in the folder of temporary files."""
        return sorted((self.folder / "temp").iterdir())

    def bash(self, command: list[str], environ: Mapping[str, str], feed: str | None = None) -> tuple[int, str]:
        """Runs a shell with nothing in its environment but this."""
        base = {"PATH": self.path, "HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "temp")}
        done = subprocess.run(
            command,
            cwd=self.work,
            env={**base, **self.more, **environ},
            **({"stdin": subprocess.DEVNULL} if feed is None else {"input": feed.encode()}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            timeout=SECONDS,
            check=False,
        )
        return done.returncode, done.stdout.decode("utf-8", "backslashreplace")


def shell(job: Job, program: str = "sh") -> Ran:
    """release.sh, as a job of any system calls it."""
    status, raw = job.bash([program, str(RELEASE)], job.settings)
    return Ran(status, raw, job.work / job.settings.get("TRUSTKIT_CI_REPORTS", "trustkit-reports"))


def bash(job: Job) -> Ran:
    return shell(job, "bash")


def github(job: Job) -> Ran:
    """A composite action: inputs by expressions, each ``run`` in a file of its own, commands taken from its lines."""
    action = yaml.safe_load((DEPLOY / "github" / "action.yml").read_text(encoding="utf-8"))
    names = {
        match[1]: name
        for step in action["runs"]["steps"]
        for name, value in step.get("env", {}).items()
        if (match := re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value))
    }
    given = {label: job.settings[name] for label, name in names.items() if name in job.settings}
    assert {label for label, each in action["inputs"].items() if each.get("required")} <= set(given)
    inputs = {label: str(each.get("default", "")) for label, each in action["inputs"].items()} | given
    temp = job.folder / "runner"
    values = {f"inputs.{label}": value for label, value in inputs.items()} | {"runner.temp": str(temp)}
    ran = Ran(0, "", temp / "trustkit-reports")
    for step in action["runs"]["steps"]:
        if "run" not in step or (ran.status and step.get("if") != "always()"):
            continue
        assert step["shell"] == "bash"
        file = temp / "step.sh"
        file.write_text(step["run"], encoding="utf-8")
        environ = {name: _expand(str(value), values) for name, value in step["env"].items()}
        ran.status, raw = job.bash(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)],
            {**environ, "RUNNER_TEMP": str(temp), "GITHUB_ACTIONS": "true", "CI": "true"},
        )
        ran.raw += _github_log(raw, ran.commands)
    return ran


def _github_log(raw: str, commands: list[str]) -> str:
    """What the log shows: lines that are commands are taken out, and masks hide what they say from then on."""
    masks: set[str] = set()
    shown, stopped = [], ""
    for line in raw.split("\n"):
        command = re.match(r"\s*::([a-z-]+)[^:]*::(.*)", line) or re.search(r"##\[([a-z-]+)[^]]*\](.*)", line)
        if stopped:
            stopped = "" if line.strip() == f"::{stopped}::" else stopped
        elif command:
            commands.append(command[1])
            said = command[2].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
            if command[1] == "add-mask":
                masks |= {each for each in [said, *re.split(r"[\r\n]", said)] if each}
            elif command[1] == "stop-commands":
                stopped = said
            continue
        for mask in sorted(masks, key=len, reverse=True):
            line = line.replace(mask, "***")
        shown.append(line)
    assert not stopped, "commands are still stopped when the step ends"
    return "\n".join(shown)


def gitlab(job: Job) -> Ran:
    """A job that extends the hidden one: variables in the environment, all script lines in one shell."""
    hidden = yaml.safe_load((DEPLOY / "gitlab" / "trustkit.gitlab-ci.yml").read_text(encoding="utf-8"))
    template = hidden[".trustkit-release"]
    lines = ["set -eo pipefail", "set +o noclobber"]
    for line in template["script"]:
        lines += [f"echo {_quoted('$ ' + line.splitlines()[0])}", line]
    settings = {**{name: str(value) for name, value in template["variables"].items()}, **job.settings}
    status, raw = job.bash(["bash"], {**settings, "GITLAB_CI": "true", "CI": "true"}, feed="\n".join(lines) + "\n")
    (kept,) = template["artifacts"]["paths"]
    return Ran(status, raw, job.work / kept)


def azure(job: Job) -> Ran:
    """A template of steps: parameters at compile time, ``$(NAME)`` of known variables, secrets by ``env`` only."""
    text = yaml.safe_load((DEPLOY / "azure" / "trustkit.yml").read_text(encoding="utf-8"))
    names = {
        match[1]: name
        for step in text["steps"]
        for name, value in step.get("env", {}).items()
        if (match := re.fullmatch(r"\$\{\{ parameters\.([A-Za-z]+) \}\}", value))
    }
    given = {label: job.settings[name] for label, name in names.items() if name in job.settings}
    parameters = {
        f"parameters.{each['name']}": given.get(each["name"], each.get("default")) for each in text["parameters"]
    }
    assert None not in parameters.values()
    temp = job.folder / "runner"
    variables = {name: job.settings[name] for name in SECRETS if name in job.settings}
    plain = {
        name: value for name, value in job.settings.items() if name not in variables and name not in names.values()
    }
    variables["Agent.TempDirectory"] = str(temp)
    ran = Ran(0, "", temp / "trustkit-reports")
    for step in text["steps"]:
        if "bash" not in step or (ran.status and step.get("condition") != "always()"):
            continue
        file = temp / "step.sh"
        file.write_text(_macros(step["bash"], variables), encoding="utf-8")
        environ = {name: _macros(_expand(str(value), parameters), variables) for name, value in step["env"].items()}
        ran.status, raw = job.bash(
            ["bash", "--noprofile", "--norc", str(file)], {**plain, **environ, "AGENT_TEMPDIRECTORY": str(temp)}
        )
        ran.commands += re.findall(r"##vso\[[^]]*\]", raw)
        ran.raw += raw
    return ran


def _expand(text: str, values: Mapping[str, Any]) -> str:
    return re.sub(r"\$\{\{ ([A-Za-z.-]+) \}\}", lambda found: str(values[found[1]]), text)


def _macros(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\(([A-Za-z0-9_.]+)\)", lambda found: variables.get(found[1], found[0]), text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


SYSTEMS: Mapping[str, Callable[[Job], Ran]] = {
    "sh": shell, "bash": bash, "github": github, "gitlab": gitlab, "azure": azure,
}  # fmt: skip
CLEAN_PATH = os.pathsep.join(["/usr/local/bin", "/usr/bin", "/bin"])
