"""The reference is complete: what the code has, the pages have, with the same facts."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import trustkit
from trustkit.cli.app import COMMANDS, cli
from trustkit.cli.status import DONE, EXIT_STATUS, exit_status
from trustkit.core import notarypaths, paths
from trustkit.errors import TrustkitError
from trustkit.keys.passphrase import KEYRING_SWITCH, PER_KEY, VARIABLES

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def _page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def _rows(page: str, first: str) -> dict[str, list[str]]:
    """Table rows whose first cell is code, by that cell; ``first`` is a pattern for its text."""
    rows = re.findall(rf"^\| `({first})` \|(.*)\|$", page, re.MULTILINE)
    return {key: [cell.strip() for cell in rest.split("|")] for key, rest in rows}


def _errors(of: type[TrustkitError] = TrustkitError) -> Iterator[type[TrustkitError]]:
    yield of
    for kind in of.__subclasses__():
        yield from _errors(kind)


def _load_everything() -> None:
    for module in pkgutil.walk_packages(trustkit.__path__, "trustkit."):
        if "migrations" not in module.name:
            importlib.import_module(module.name)


def test_every_error_is_there_with_its_exit_status():
    _load_everything()
    kinds = [kind for kind in _errors() if kind.__module__.startswith("trustkit.")]
    said = {slug: cells[0] for slug, cells in _rows(_page("errors.md"), "[a-z-]+").items()}
    # __new__: the status is the class's, and some classes need more than a message to be made
    assert said == {kind.slug: str(exit_status(kind.__new__(kind))) for kind in kinds}


def test_every_exit_status_is_there():
    known = {DONE, *(status for _, status in EXIT_STATUS)}
    assert {int(status) for status in _rows(_page("exit-statuses.md"), "[0-9]+")} == known


def test_every_route_is_there():
    unions = (paths.TrustRoute, notarypaths.NotaryRoute, paths.RegistryRoute)
    routes = {route.__name__ for union in unions for route in union.__args__}
    said = set(_rows(_page("http-api.md"), "[A-Z][A-Za-z]+"))
    assert said == routes


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _commands(found, f"{name} {child}")


def _section(page: str, title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ trustkit|\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"docs/reference/cli.md has no heading {title!r}"
    return found[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_there_and_no_other(name: str):
    page = _page("cli.md")
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for title, each in _commands(command, f"trustkit {name}"):
        section = _section(page, title)
        options = [p for p in each.params if isinstance(p, click.Option) and not p.hidden]
        expected = {text for option in options for text in (*option.opts, *option.secondary_opts)}
        rows = re.findall(r"^\| (`-.*?`) \|", section, re.MULTILINE)
        assert {text for row in rows for text in re.findall(r"`(-[a-z-]+)", row)} == expected, title
        for option in options:
            if isinstance(option.type, click.Choice):
                assert all(str(choice) in section for choice in option.type.choices), (title, option.name)


def test_no_command_is_there_that_does_not_exist():
    _load_everything()
    known = {title for title, _ in _commands(cli, "trustkit")}
    assert set(re.findall(r"^#+ (trustkit.*)$", _page("cli.md"), re.MULTILINE)) == known


def test_every_environment_variable_that_the_code_reads_is_there():
    page = _page("configuration.md")
    read = {name for names in VARIABLES.values() for name in names} | {KEYRING_SWITCH, PER_KEY}
    for source in Path(trustkit.__path__[0]).rglob("*.py"):
        read |= set(re.findall(r"[\"'](TRUSTKIT_[A-Z_]+)[\"']", source.read_text(encoding="utf-8")))
    assert sorted(name for name in read if name not in page) == []


def test_every_unsafe_switch_is_listed_as_one():
    unsafe = _page("configuration.md").partition("## Unsafe switches")[2]
    _load_everything()
    switches = {
        text
        for _, command in _commands(cli, "trustkit")
        for option in command.params
        for text in option.opts
        if "unsafe" in text and text.startswith("-")
    }
    for source in Path(trustkit.__path__[0]).rglob("*.py"):
        switches |= set(re.findall(r"[\"'](TRUSTKIT_UNSAFE_[A-Z_]+)[\"']", source.read_text(encoding="utf-8")))
    assert switches
    assert sorted(switch for switch in switches if switch not in unsafe) == []
