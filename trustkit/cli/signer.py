"""``trustkit signer``: who else may sign a collection's tags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trustkit.cli.context import Context
from trustkit.cli.options import format_option, passphrase_options, trust_dir_option
from trustkit.cli.output import data, data_json, note, table
from trustkit.cli.publickeys import public_key
from trustkit.cli.publishing import either
from trustkit.core.names import Gun, SignerName

if TYPE_CHECKING:
    from trustkit.client.signers import Signers
    from trustkit.core.difference import Difference

Command = TypeVar("Command", bound=Callable[..., Any])


def _change_options(command: Command) -> Command:
    """What every change of signers takes."""
    command = click.option("--yes", "-y", is_flag=True, help="Don't ask, also where tags lose trust.")(command)
    command = click.option("--dry-run", is_flag=True, help="Show what would change, tags that lose trust above all.")(
        command
    )
    return passphrase_options(trust_dir_option(command))


@click.group("signer", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Let other keys sign a repository's tags: all of them, or tags of some patterns.

    It takes the repository key. A signer that is limited to paths has these tags to itself; the repository key can
    always withdraw or re-sign what a signer signed.
    """


@command.command("add")
@click.argument("name", metavar="NAME")
@click.argument("guns", metavar="GUN...", nargs=-1, required=True)
@click.option(
    "--key",
    "key_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The signer's public key, PEM, as trustkit key export --public writes it.",
)
@click.option("--paths", multiple=True, metavar="PATTERN", help="Sign only tags like this: 'v*'. Repeatable.")
@click.option("--before", metavar="NAME", help="Be asked before this signer, where patterns overlap.")
@click.option("--replace", is_flag=True, help="Give the signer NAME this key in the place of its own.")
@click.option("--resign", is_flag=True, help="With --replace: keep what the old key alone signed, signed anew here.")
@_change_options
@click.pass_obj
def add(
    ctx: Context,
    name: str,
    guns: tuple[str, ...],
    key_file: Path,
    paths: tuple[str, ...],
    before: str | None,
    trust_dir: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    replace: bool,
    resign: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Let the key in FILE sign tags of each GUN as NAME.

    Without --paths it signs every tag that no limited signer has to itself. NAME is made of lower-case letters,
    digits, - and _.

    \b
    Examples:
      trustkit signer add bob registry.example.com/app --key bob.pub
      trustkit signer add ci registry.example.com/app --key ci.pub --paths 'v*'
    """
    from trustkit.client.signers import Added
    from trustkit.errors import UsageError

    if replace and (paths or before):
        raise UsageError("--replace keeps the signer's paths and place.", hint="Remove it and add it anew instead.")
    if resign and not replace:
        raise UsageError("--resign goes with --replace.")
    wanted = Added(SignerName.parse(name), public_key(key_file), paths, SignerName.parse(before) if before else None)
    signers, named = (
        _signers(ctx, passphrase_file, passphrase_fd, trust_dir),
        list(dict.fromkeys(map(Gun.parse, guns))),
    )
    if dry_run:
        for gun in named:
            _show(
                gun,
                signers.preview_replace(gun, wanted, resign=resign) if replace else signers.preview_add(gun, wanted),
            )
        return
    if replace:
        done = signers.replace(named, wanted, ctx.agreeing(yes=yes), resign=resign)
    else:
        done = signers.add(named, wanted, ctx.agreeing(yes=yes))
    rights = "signs with its new key" if replace else f"signs {', '.join(paths) or 'every other tag'}"
    for gun in done:
        data(f"{gun}: {wanted.name} {rights}")


@command.command("remove")
@click.argument("name", metavar="NAME")
@click.argument("guns", metavar="GUN...", nargs=-1, required=True)
@click.option("--resign", is_flag=True, help="Keep what this signer alone signed, signed anew by the keys here.")
@_change_options
@click.pass_obj
def remove(
    ctx: Context,
    name: str,
    guns: tuple[str, ...],
    trust_dir: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    resign: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """End the right of NAME to sign in each GUN.

    What NAME alone has signed is withdrawn, after it was shown and asked for; with --resign the keys here sign it
    anew. Everything else stays trusted. Use --resign only where the key was not stolen: look at the digests.

    \b
    Example:
      trustkit signer remove bob registry.example.com/app --dry-run
    """
    signer, named = SignerName.parse(name), list(dict.fromkeys(map(Gun.parse, guns)))
    signers = _signers(ctx, passphrase_file, passphrase_fd, trust_dir)
    if dry_run:
        for gun in named:
            _show(gun, signers.preview_remove(gun, signer, resign=resign))
        return
    for gun in signers.remove(named, signer, ctx.agreeing(yes=yes), resign=resign):
        data(f"{gun}: {signer} signs nothing any more")


@command.command("list")
@click.argument("gun", metavar="GUN")
@format_option
@click.pass_obj
def list_signers(ctx: Context, gun: str, output: str) -> None:
    """List the signers of GUN in the order in which they are asked, verified against its pin.

    \b
    Example:
      trustkit signer list registry.example.com/app
    """
    from trustkit.client.signers import signer_rows

    view = ctx.trust(only=None).current(Gun.parse(gun), ctx.now()).view
    rows = signer_rows(view)
    if output == "json":
        data_json(
            [{"name": row.name, "keys": row.key_ids, "paths": row.paths or ["*"], "tags": row.tags} for row in rows]
        )
        return
    if not rows:
        data(f"{view.gun} has no signers; its tags are signed by the repository key.")
        return
    table(
        ("SIGNER", "PATHS", "KEYS", "TAGS"),
        [(row.name, ", ".join(row.paths) or "all others", ", ".join(row.key_ids), str(row.tags)) for row in rows],
    )


def _signers(
    ctx: Context, passphrase_file: Path | None, passphrase_fd: int | None, trust_dir: Path | None
) -> Signers:
    from trustkit.client.signers import Signers

    return Signers(either(ctx, ctx.passphrases(passphrase_file, passphrase_fd), trust_dir=trust_dir), say=note)


def _show(gun: Gun, difference: Difference) -> None:
    """A dry run: what would change, to stdout."""
    data(f"{gun}:")
    for line in difference.lines() or ["nothing would change"]:
        data(f"  {line}")
    lost = len(difference.lost)
    data(f"  {lost or 'No'} tag{'' if lost == 1 else 's'} would stop being trusted. Nothing was changed.")
