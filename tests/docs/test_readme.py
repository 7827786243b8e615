"""The README's commands exist, and its two one-liners are what they should be."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from trustkit.cli.app import cli

TOP = Path(__file__).parents[2]
README = (TOP / "README.md").read_text(encoding="utf-8")
BLOCKS = [block.strip() for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)]
ONE_LINERS = BLOCKS[:2]
PAGES = [
    "README.md",
    "docs/tutorial/index.md",
    *(str(p.relative_to(TOP)) for p in (TOP / "docs/how-to").glob("*.md")),
]


def _commands(page: str) -> list[str]:
    """Every ``trustkit ...`` in code: a line of a block, or a whole inline code span."""
    text = re.sub(r"\\\n\s*", " ", (TOP / page).read_text(encoding="utf-8"))
    blocks = "\n".join(re.findall(r"^```[a-z]+\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^\s*(?:\$ |# )?(trustkit [a-z-].*)$", blocks, re.MULTILINE)
    spans = re.findall(r"`(trustkit [a-z-][^`\n]*)`", text)
    return [re.sub(r"\s(#|&&|&|\||>|<|2>).*$", "", command) for command in (*lines, *spans)]


def _check(words: list[str]) -> None:
    command: click.Command = cli
    for position, word in enumerate(words):
        if word in ("...", "…"):
            return
        if word.startswith("-"):
            flag = word.partition("=")[0]
            known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
            assert flag in known, f"{command.name} has no option {flag}"
        elif isinstance(command, click.Group) and not _is_value(command, words[position - 1]):
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"{command.name} has no command {word}"
            command = found


def _is_value(command: click.Command, before: str) -> bool:
    takes = (p for p in command.params if isinstance(p, click.Option) and not p.is_flag)
    return any(before in p.opts for p in takes)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_shown_exists_with_its_options(page: str):
    for text in _commands(page):
        _check(shlex.split(text, comments=True)[1:])


def test_there_are_commands_to_check():
    assert len(_commands("README.md")) >= 10


def test_the_two_commands_are_one_line_each_and_install_extras_that_exist():
    extras = set(
        tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    )
    for line in ONE_LINERS:
        assert "\n" not in line
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install -q '.[")
        assert set(line.partition("[")[2].partition("]")[0].split(",")) <= extras
    assert ONE_LINERS[0].endswith(".venv/bin/trustkit demo")


def test_continuous_integration_runs_the_readmes_test_command():
    command = ONE_LINERS[1].rpartition(".venv/bin/")[2]
    script = (TOP / ".ci/run").read_text(encoding="utf-8")
    assert command.startswith("pytest ")
    assert script.rstrip().endswith(f"\n{command}")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_link_into_the_project_leads_somewhere(page: str):
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", (TOP / page).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (TOP / link).exists()] == []
