"""``trustkit policy``: which signers have to have signed what is pulled here."""

from __future__ import annotations

import click

from trustkit.cli.context import Context
from trustkit.cli.options import format_option
from trustkit.cli.output import data_json, note, table
from trustkit.core.names import SignerName
from trustkit.core.patterns import GunPattern


@click.group("policy", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Demand that named signers have signed what verify and pull accept.

    The most specific pattern that matches a repository counts: HOST/repository, then HOST/prefix/*, then HOST/*.
    """


@command.command("add")
@click.argument("pattern", metavar="PATTERN")
@click.option("--signer", "signers", multiple=True, required=True, metavar="NAME", help="A signer. Repeatable.")
@click.option("--count", type=click.IntRange(min=1), metavar="K", help="How many of them. [default: all]")
@click.option("--replace", is_flag=True, help="Put this in the place of another policy for the same pattern.")
@click.pass_obj
def add(ctx: Context, pattern: str, signers: tuple[str, ...], count: int | None, *, replace: bool) -> None:
    """Accept tags of PATTERN only if these signers have signed them, each with the key that the publisher names."""
    from trustkit.core.policy import Demand

    names = tuple(SignerName.parse(name) for name in signers)
    demand = Demand(GunPattern.parse(pattern), names, len(names) if count is None else count)
    ctx.home.policies.add(demand, replace=replace)
    note(f"{demand.pattern} takes {demand.count} of {', '.join(map(str, names))}.")


@command.command("list")
@format_option
@click.pass_obj
def list_policies(ctx: Context, output: str) -> None:
    """Show the policies."""
    from trustkit.home.policy import as_json

    demands = ctx.home.policies.list()
    if output == "json":
        data_json([as_json(demand) for demand in demands])
    elif demands:
        table(
            ("PATTERN", "TAKES", "OF SIGNERS"),
            [(str(d.pattern), str(d.count), ", ".join(map(str, d.signers))) for d in demands],
        )
    else:
        note("There are no policies: any valid signature will do.")


@command.command("remove")
@click.argument("pattern", metavar="PATTERN")
@click.pass_obj
def remove(ctx: Context, pattern: str) -> None:
    """Remove the policy of PATTERN; another one may cover it still."""
    ctx.home.policies.remove(GunPattern.parse(pattern))
    note(f"{pattern} has no policy of its own any more.")
