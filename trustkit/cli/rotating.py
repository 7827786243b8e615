"""What rotations print, one line a repository, and the status that they end with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trustkit.cli.context import Context
from trustkit.cli.output import data, note
from trustkit.cli.publishing import tuf_publisher
from trustkit.core.names import Gun, SignerName
from trustkit.errors import TrustkitError, UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import Key

    from trustkit.client.docker_rotate import DockerRotate
    from trustkit.client.rotate import Agree, Rotate, Rotated

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Asked:
    """Which key is to be replaced and by which, in either format, as it was asked for.

    Attributes:
        role: ``repository``, ``root``, ``signer``, or of the service's ``snapshot``, ``timestamp`` and ``online``.
        name: whose, of a signer's.
        key, public: the new key: its id where it is here, or a file of one that is elsewhere; made where None.
        revoke: tags to withdraw in the same publish.
        old: the key to replace, where there are several.
        remove_old: whether its file is removed.
        yes: whether nothing is asked.
    """

    role: str
    name: str | None
    key: str | None
    public: Path | None
    revoke: Sequence[str]
    old: str | None
    remove_old: bool = field(kw_only=True)
    yes: bool = field(kw_only=True)

    def by(self, rotation: Rotate | DockerRotate, new: Key | None, agree: Agree) -> Callable[[Gun], Rotated]:
        """What rotates in one collection; raises InvalidName for a signer that has none."""
        if self.role == "repository":
            return partial(rotation.repository, new=new, old=self.old, revoke=self.revoke, agree=agree)
        if self.role == "root":
            return partial(rotation.root, new=new, old=self.old, agree=agree)
        return partial(rotation.signer, name=SignerName.parse(self.name or ""), new=new, agree=agree)


def rotation_options(command: Command) -> Command:
    """What each rotation takes beside its key."""
    command = click.option("--yes", "-y", is_flag=True, help="Don't ask.")(command)
    command = click.option("--replace", "old", metavar="ID", help="The key to replace, where there are several.")(
        command
    )
    return click.option(
        "--all", "everything", is_flag=True, help="Every repository whose repository key is here, too."
    )(command)


def chosen_guns(ctx: Context, guns: Sequence[str], *, everything: bool) -> list[Gun]:
    """The repositories that were named, and with ``--all`` those of the repository keys here, each once."""
    from trustkit.core.ports.keys import KeyRole

    named = [Gun.parse(gun) for gun in guns]
    if everything:
        listed = ctx.key_store().list()
        named += [info.gun for info in listed if info.role is KeyRole.REPOSITORY and info.gun is not None]
    if not named:
        raise UsageError("No repository was named.", hint="Name one or more, or give --all.")
    return list(dict.fromkeys(named))


def rotate_with(ctx: Context, passphrase_file: Path | None, passphrase_fd: int | None) -> Rotate:
    """The rotation use cases."""
    from trustkit.client.rotate import Rotate

    store = ctx.key_store(passphrase_file, passphrase_fd)
    return Rotate(tuf_publisher(ctx, store), store, ctx.home.rotations, say=note)


def key_here(ctx: Context, key_id: str | None, role: str) -> Key | None:
    """The public half of a key here; raises KeyMissing, and WrongKeyRole where it is kept for something else."""
    from trustkit.errors import WrongKeyRole

    if key_id is None:
        return None
    store = ctx.key_store()
    info = store.resolve(key_id)
    if str(info.role) != role:
        raise WrongKeyRole(
            f"The key {info.id[:16]} in {store.place} is kept as a {info.role} key, and not as a {role} key.",
            hint=f"Make one with: trustkit key generate --role {role}",
            key_ids=[info.id],
            role=role,
            place=store.place,
        )
    return info.public


def of_both(ctx: click.Context, formats: Sequence[Callable[[], None]]) -> None:
    """Rotates in the collections of each format, tuf first; a failure doesn't keep the others from theirs.

    Ends the command with the status of the first failure, after all were tried.
    """
    from trustkit.cli.app import report
    from trustkit.cli.status import exit_status

    if len(formats) == 1:
        formats[0]()
        return
    ends: list[int] = []
    for rotate in formats:
        try:
            rotate()
        except click.exceptions.Exit as ended:
            ends.append(ended.exit_code)
        except TrustkitError as error:
            report(error)
            ends.append(exit_status(error))
    if ends:
        ctx.exit(ends[0])


def each(
    ctx: click.Context,
    guns: Sequence[Gun],
    rotate: Callable[[Gun], Rotated],
    tell: Callable[[Sequence[Rotated]], None] | None = None,
) -> list[Rotated]:
    """Rotates in one repository after the other, a line each; a failure doesn't keep the others from theirs.

    Ends the command with the status of the first failure, after all were tried.

    Args:
        tell: what whoever rotated has to do now, where the command ends here; ``after`` by default.
    """
    from trustkit.cli.app import report
    from trustkit.cli.status import exit_status

    done: list[Rotated] = []
    failed: list[TrustkitError] = []
    for gun in guns:
        try:
            rotated = rotate(gun)
        except TrustkitError as error:
            report(error, str(gun) if len(guns) > 1 else "")
            failed.append(error)
            continue
        done.append(rotated)
        if rotated.resumed:
            note(f"{gun}: the rotation that was interrupted had got through; nothing more was to be done.")
        data(f"{gun}: {rotated.role} key {rotated.old[:16]} -> {rotated.new}")
    if failed:
        (tell or after)(done)
        ctx.exit(exit_status(failed[0]))
    return done


def after(done: Sequence[Rotated]) -> None:
    """What whoever rotated has to do now."""
    from trustkit.core.ports.keys import KeyRole

    roots = {rotated.new: rotated for rotated in done if rotated.role is KeyRole.ROOT}
    for new in roots:
        for rotated in done:
            if rotated.new == new:
                note(
                    f"Consumers who trust now follow by themselves; new ones: trustkit pin add {rotated.gun} "
                    f"--root-key {new}"
                )
    if roots:
        note(
            "If the old key was stolen, everybody who pinned it, or a root file from before, has to pin the new one:"
        )
        note("  whoever has the old key can deceive them. Collections that were not named keep the old root key.")
