"""What ``--help`` shows: an example for each command, which the command line takes as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from trustkit.cli.app import cli


def _leaves(command: click.Command, name: str = "trustkit") -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for child in command.list_commands(context):
        found = command.get_command(context, child)
        assert found is not None
        yield from _leaves(found, f"{name} {child}")


LEAVES = dict(_leaves(cli))


def _examples(command: click.Command) -> list[str]:
    text = command.get_help(click.Context(command, terminal_width=200))
    return re.findall(
        r"^ {4,}(trustkit .*)$", text.partition("\n  Example")[2].partition("\nOptions:")[0], re.MULTILINE
    )


def _taken(words: list[str]) -> str:
    """The command that takes these words, with all that it requires; files needn't exist."""
    command: click.Command = cli
    context, name = click.Context(cli), "trustkit"
    while True:
        parser = command.make_parser(context)
        parser.allow_interspersed_args = not isinstance(command, click.Group)
        options, words, _ = parser.parse_args(list(words))
        assert [p.name for p in command.params if p.required and options.get(p.name or "") in (None, ())] == []
        if not isinstance(command, click.Group):
            assert words == []
            return name
        name = f"{name} {words[0]}"
        found = command.get_command(context, words[0])
        assert found is not None, name
        command, context, words = found, click.Context(found, parent=context), words[1:]


@pytest.mark.parametrize("name", LEAVES)
def test_a_command_shows_examples_that_it_takes(name: str):
    examples = _examples(LEAVES[name])
    assert examples
    for example in examples:
        assert _taken(shlex.split(re.sub(r"\s[<>]\s.*$", "", example))[1:]) == name


def _options() -> Iterator[tuple[str, click.Option]]:
    return ((name, p) for name, leaf in LEAVES.items() for p in leaf.params if isinstance(p, click.Option))


def test_options_that_may_be_given_more_than_once_say_so():
    assert [(name, p.opts) for name, p in _options() if p.multiple and "epeatable" not in (p.help or "")] == []


def test_the_same_option_is_named_alike_everywhere():
    """``--yes`` is ``-y`` wherever it is, JSON comes by ``--format``, and options say what they do."""
    assert {tuple(sorted(p.opts)) for _, p in _options() if "--yes" in p.opts} == {("--yes", "-y")}
    assert [name for name, p in _options() if "--json" in p.opts and not p.hidden] == []
    silent = {tuple(p.opts) for _, p in _options() if not p.help and not p.hidden}
    assert silent <= {("--format",), ("-o", "--output"), ("--to",)}
