"""``trustkit key rotate``: another key in the place of one that is old, or stolen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli.context import Context
from trustkit.cli.key_rotate_docker import Stores, rotate_docker
from trustkit.cli.key_rotate_online import ROLES, rotate_online
from trustkit.cli.options import passphrase_options, trust_dir_option
from trustkit.cli.output import note
from trustkit.cli.publickeys import public_key
from trustkit.cli.rotating import Asked, after, chosen_guns, each, key_here, of_both, rotate_with, rotation_options
from trustkit.core.names import Gun
from trustkit.errors import UsageError

if TYPE_CHECKING:
    from trustkit.client.rotate import Rotate, Rotated


@click.command("rotate")
@click.argument("guns", metavar="GUN...", nargs=-1)
@click.option(
    "--role",
    type=click.Choice(["repository", "root", "signer", *ROLES]),
    required=True,
    help="Which key; snapshot and timestamp are the service's, online is both of them.",
)
@click.option("--name", metavar="NAME", help="The signer whose key is replaced.")
@click.option("--key", metavar="ID", help="The new key, which is here; one is made otherwise.")
@click.option(
    "--public",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The new key of a signer or of root whose private half is elsewhere, PEM.",
)
@click.option(
    "--revoke", metavar="TAG", multiple=True, help="Withdraw TAG in the same publish, as a thief's. Repeatable."
)
@click.option("--remove-old", is_flag=True, help="Remove the old key's file once the new key is in use.")
@rotation_options
@trust_dir_option
@passphrase_options
@click.pass_context
def rotate(
    click_context: click.Context,
    guns: tuple[str, ...],
    role: str,
    name: str | None,
    key: str | None,
    public: Path | None,
    revoke: tuple[str, ...],
    old: str | None,
    trust_dir: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    remove_old: bool,
    everything: bool,
    yes: bool,
) -> None:
    """Put another key in the place of the one that signs in each GUN.

    For a repository key it takes the root key, for a signer's the repository key, for root the old root key. Every
    file that needs it is signed anew, in one publish. An interrupted run is ended by the same command, with the same
    new key. The new key signs what the old one signed: after a theft, look at trustkit inspect first, and withdraw
    what isn't yours with --revoke. The service makes new keys of its own, which a new root names; that takes the
    root key, too.

    \b
    Examples:
      trustkit key rotate registry.example.com/app --role repository
      trustkit key rotate --role signer --name bob registry.example.com/app
    """
    ctx: Context = click_context.obj
    asked = Asked(role, name, key, public, revoke, old, remove_old=remove_old, yes=yes)
    _check(asked)
    named = chosen_guns(ctx, guns, everything=everything)
    if revoke and len(named) > 1:
        raise UsageError("--revoke goes with one repository.")
    if role in ROLES and key is not None:
        raise UsageError(f"The service makes its {role} keys; --key is for a key that is here.")
    stores = Stores.of(ctx, passphrase_file, passphrase_fd, trust_dir)
    docker = [gun for gun in named if stores.either.is_docker_still(gun)]
    tuf = [gun for gun in named if gun not in docker]
    if docker and tuf and (key or public or old):
        raise UsageError(
            "A key of one format has another id in the other one, and these collections have both.",
            hint=f"In format docker: {', '.join(map(str, docker))}. Name those of one format, or leave the key out.",
        )

    def in_docker() -> None:
        rotate_docker(click_context, stores, docker, asked)

    def in_tuf() -> None:
        if role in ROLES:
            rotate_online(click_context, tuf, role, passphrase_file, passphrase_fd, yes=yes)
            return
        _rotate(click_context, rotate_with(ctx, passphrase_file, passphrase_fd), tuf, asked)

    of_both(click_context, [each for guns, each in ((tuf, in_tuf), (docker, in_docker)) if guns])


def _rotate(click_context: click.Context, rotation: Rotate, named: Sequence[Gun], asked: Asked) -> None:
    """Rotates in collections of format ``tuf``."""
    ctx: Context = click_context.obj
    new = public_key(asked.public) if asked.public else key_here(ctx, asked.key, asked.role)
    done = each(click_context, named, asked.by(rotation, new, ctx.agreeing(yes=asked.yes)))
    after(done)
    _old_keys(ctx, done, remove=asked.remove_old, yes=asked.yes)


def _check(asked: Asked) -> None:
    """Raises UsageError for options that don't go together."""
    role, named = asked.role, asked.name is not None
    if role in ROLES and (asked.name or asked.public or asked.revoke or asked.old or asked.remove_old):
        raise UsageError(
            f"The service makes and keeps its {role} keys; there is nothing to name, bring or remove.",
            hint=f"trustkit key rotate GUN --role {role}",
        )
    if (role == "signer") != named:
        raise UsageError("--name goes with --role signer.", hint="It says whose key is replaced.")
    if role == "signer" and asked.old is not None:
        raise UsageError("A signer has one key, so --replace has nothing to choose from.")
    if role == "repository" and asked.public is not None:
        raise UsageError(
            "The new repository key has to sign the tags, so its private half has to be here.",
            hint="For one that is elsewhere: trustkit root propose --repository-key FILE.",
        )
    if role != "repository" and asked.revoke:
        raise UsageError("--revoke goes with --role repository.")
    if role == "root" and asked.remove_old:
        raise UsageError(
            "The old root key may still be needed for other collections.",
            hint="When none has it any more: trustkit key remove ID",
        )


def _old_keys(ctx: Context, done: Sequence[Rotated], *, remove: bool, yes: bool) -> None:
    """Removes the old keys' files, where that was said or is agreed to now; they are of no use otherwise."""
    from trustkit.core.ports.keys import KeyRole

    store = ctx.key_store()
    for info in {rotated.here.id: rotated.here for rotated in done if rotated.here}.values():
        if info.role is KeyRole.ROOT:
            note(f"The old root key {info.id[:16]} stays: collections that were not named still need it.")
            continue
        question = f"The old {info.role} key {info.id[:16]} signs nothing any more. Remove its file"
        if remove or (ctx.interactive and not yes and ctx.ask(question)):
            store.remove(info)
            note(f"Removed the old {info.role} key {info.id[:16]}.")
        else:
            note(f"The old {info.role} key {info.id[:16]} is useless now: trustkit key remove {info.id[:16]}")
