"""``trustkit threshold``: how many signatures a role takes."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.options import format_option, passphrase_options
from trustkit.cli.output import data, data_json, note, table
from trustkit.cli.publishing import tuf_publisher
from trustkit.core.names import Gun


@click.group("threshold", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Have a role take the signatures of several keys.

    Where fewer keys are here than a change takes, it is left as a proposal, which the others approve.
    """


@command.command("show")
@click.argument("gun", metavar="GUN")
@format_option
@click.pass_obj
def show(ctx: Context, gun: str, output: str) -> None:
    """Show how many signatures of which keys each role of GUN takes, verified against its pin.

    \b
    Example:
      trustkit threshold show registry.example.com/app
    """
    from trustkit.client.thresholds import threshold_rows

    rows = threshold_rows(ctx.trust().current(Gun.parse(gun), ctx.now()).view)
    if output == "json":
        data_json([{"role": row.role, "threshold": row.threshold, "keys": row.key_ids} for row in rows])
        return
    table(
        ("ROLE", "NEEDS", "KEYS"),
        [(row.role, f"{row.threshold} of {len(row.key_ids)}", ", ".join(row.key_ids)) for row in rows],
    )


@command.command("set")
@click.argument("gun", metavar="GUN")
@click.argument("number", metavar="N", type=click.IntRange(min=1, max=32))
@click.option("--role", type=click.Choice(["root", "targets", "releases"]), required=True, help="Which role.")
@click.option("--withdraw", is_flag=True, help="Withdraw tags that fewer than N have signed; don't sign them anew.")
@click.option("--dry-run", is_flag=True, help="Show what would change, tags that lose trust above all.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask, also where tags lose trust.")
@passphrase_options
@click.pass_obj
def set_number(
    ctx: Context,
    gun: str,
    number: int,
    role: str,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    withdraw: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Have a role of GUN take N signatures.

    What fewer have signed until now is signed anew by the keys here or, where these are too few, by those who
    approve the proposal that is left; until then everything stays as it is.

    \b
    Example:
      trustkit threshold set registry.example.com/app 2 --role releases --dry-run
    """
    from trustkit.client.thresholds import Thresholds

    named, thresholds = (
        Gun.parse(gun),
        Thresholds(tuf_publisher(ctx, ctx.key_store(passphrase_file, passphrase_fd)), say=note),
    )
    if dry_run:
        difference = thresholds.preview(named, role, number, withdraw=withdraw)
        for line in difference.lines() or ["nothing would change"]:
            data(line)
        lost = len(difference.lost)
        data(f"{lost or 'No'} tag{'' if lost == 1 else 's'} would stop being trusted. Nothing was changed.")
        return
    done = thresholds.set(named, role, number, ctx.agreeing(yes=yes), withdraw=withdraw)
    if done.proposal is None:
        data(f"{gun}: {role} takes {number} signature{'' if number == 1 else 's'}")
