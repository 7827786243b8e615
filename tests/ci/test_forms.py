"""The templates say the same, interpolate nothing into a script, pin what they use, and keep the report always."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.ci.systems import DEPLOY, RELEASE, SECRETS
from trustkit import __version__

SHELL = RELEASE.read_text(encoding="utf-8")
BLOCKS = {
    name: re.search(rf"^# -- {name}: begin\n.*?^# -- {name}: end\n", SHELL, re.M | re.S)[0]
    for name in ("install", "release")
}  # type: ignore[index]
GITHUB = yaml.safe_load((DEPLOY / "github" / "action.yml").read_text(encoding="utf-8"))
GITLAB = yaml.safe_load((DEPLOY / "gitlab" / "trustkit.gitlab-ci.yml").read_text(encoding="utf-8"))[
    ".trustkit-release"
]
AZURE = yaml.safe_load((DEPLOY / "azure" / "trustkit.yml").read_text(encoding="utf-8"))
SCRIPTS = {
    "github": [step["run"] for step in GITHUB["runs"]["steps"] if "run" in step],
    "gitlab": GITLAB["script"],
    "azure": [step["bash"] for step in AZURE["steps"] if "bash" in step],
}


@pytest.mark.parametrize("system", SCRIPTS)
def test_each_has_the_text_of_the_shell_script(system: str) -> None:
    assert [name in script for script, name in zip(SCRIPTS[system], BLOCKS.values(), strict=True)] == [True, True]


@pytest.mark.parametrize("system", SCRIPTS)
def test_nothing_is_interpolated_into_a_script(system: str) -> None:
    for script in SCRIPTS[system]:
        assert "${{" not in script
        assert not re.search(r"\$\([A-Za-z0-9_.]+\)", script), "the agent would replace it"
        assert not re.search(r"set -[a-z]*x|xtrace|\beval\b", script)


def _strings(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _strings(each, (*at, str(name)))
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each, at)
    elif isinstance(value, str):
        yield at, value


@pytest.mark.parametrize(("template", "places"), [(GITHUB, {"env", "with"}), (AZURE, {"env", "inputs"})])
def test_expressions_stand_where_no_shell_reads_them(template: Any, places: set[str]) -> None:
    found = [at for at, text in _strings(template) if "${{" in text]
    assert found
    assert all(places & set(at) for at in found)


def test_the_version_that_is_installed_is_this_one() -> None:
    default = next(each["default"] for each in AZURE["parameters"] if each["name"] == "trustkitInstall")
    stated = GITHUB["inputs"]["trustkit-install"]["default"], GITLAB["variables"]["TRUSTKIT_CI_INSTALL"], default
    assert set(stated) == {f"trustkit=={__version__}"}


def test_secrets_are_in_the_environment_of_one_step() -> None:
    for steps in GITHUB["runs"]["steps"], AZURE["steps"]:
        assert [[name in step.get("env", {}) for name in SECRETS] for step in steps] == [
            [False] * 3,
            [True] * 3,
            [False] * 3,
        ]


def test_the_report_is_kept_also_on_failure() -> None:
    upload, publish = GITHUB["runs"]["steps"][-1], AZURE["steps"][-1]
    assert upload["if"] == publish["condition"] == "always()"
    assert re.fullmatch(r"actions/upload-artifact@[0-9a-f]{40}", upload["uses"])
    assert upload["with"]["path"] == GITHUB["runs"]["steps"][1]["env"]["TRUSTKIT_CI_REPORTS"]
    assert publish["task"] == "PublishPipelineArtifact@1"
    assert publish["inputs"]["targetPath"] == "$(Agent.TempDirectory)/trustkit-reports"
    assert GITLAB["artifacts"]["when"] == "always"
    assert GITLAB["artifacts"]["paths"] == [f"{GITLAB['variables']['TRUSTKIT_CI_REPORTS']}/"]
