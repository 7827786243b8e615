"""``trustkit root propose``, ``sign`` and ``publish``: a root ceremony, of which ``sign`` needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli.context import Context
from trustkit.cli.options import passphrase_options
from trustkit.cli.output import data, note
from trustkit.cli.publishing import tuf_publisher

if TYPE_CHECKING:
    from trustkit.client.ceremony import Ceremonies
    from trustkit.core.ceremony import Ceremony

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("propose")
@click.argument("gun", metavar="GUN")
@click.option("-o", "--output", "target", required=True, type=NEW_FILE, metavar="FILE", help="The ceremony file.")
@click.option(
    "--add-key", "add", multiple=True, type=FILE, metavar="FILE", help="Add this public root key, PEM. Repeatable."
)
@click.option("--remove-key", "remove", multiple=True, metavar="ID", help="Remove this root key. Repeatable.")
@click.option("--threshold", type=click.IntRange(min=1), metavar="N", help="How many root keys have to sign.")
@click.option(
    "--repository-key",
    "repository",
    multiple=True,
    type=FILE,
    metavar="FILE",
    help="These public repository keys, PEM, in the place of all that are there. Repeatable.",
)
@click.option(
    "--repository-threshold", type=click.IntRange(min=1), metavar="N", help="How many repository keys have to sign."
)
@click.option("--days", type=click.IntRange(min=1), metavar="N", help="The root's life; as usual unless given.")
@click.pass_obj
def propose(
    ctx: Context,
    gun: str,
    target: Path,
    add: tuple[Path, ...],
    remove: tuple[str, ...],
    threshold: int | None,
    repository: tuple[Path, ...],
    repository_threshold: int | None,
    days: int | None,
) -> None:
    """Write a ceremony file: the next root of GUN, for the holders of its root keys to sign.

    Without a change it is a renewal. No key is needed here, and nothing in FILE is secret. Prints the SHA-256 of what
    is to be signed: read it to the holders by another channel, and they compare it.

    \b
    Example:
      trustkit root propose registry.example.com/app --threshold 2 --add-key dora.pub -o ceremony.json
    """
    from trustkit.cli.publickeys import public_key
    from trustkit.core.ceremony import Wanted
    from trustkit.core.names import Gun
    from trustkit.keys import private

    wanted = Wanted(
        tuple(map(public_key, add)), remove, threshold, tuple(map(public_key, repository)), repository_threshold
    )
    made = _ceremonies(ctx, None, None).propose(Gun.parse(gun), wanted, days=days)
    _show(made)
    private.create(target, made.render())
    note(f"Wrote {target}. Each holder: trustkit root sign {target.name}")
    data(made.fingerprint)


@click.command("sign")
@click.argument("file", type=FILE, metavar="FILE")
@click.option("--signature-out", type=NEW_FILE, metavar="FILE", help="Write the signatures alone, and leave FILE.")
@click.option(
    "--expect", metavar="HEX", help="Sign only if this is the SHA-256, or its beginning, of what is signed."
)
@click.option("--current", metavar="HEX", help="The current root's SHA-256, or its beginning, that you were told.")
@click.option("--again", is_flag=True, help="Sign although another root of this version was signed here before.")
@click.option("--rehearse", is_flag=True, help="Do all of it, and keep nothing.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
@passphrase_options
@click.pass_obj
def sign(
    ctx: Context,
    file: Path,
    signature_out: Path | None,
    expect: str | None,
    current: str | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    again: bool,
    rehearse: bool,
    yes: bool,
) -> None:
    """Sign a ceremony FILE with the root keys here, after showing what it changes.  Uses no network.

    Adds the signatures to FILE. The holders may sign one after the other, or each a copy. Without a terminal give
    --yes, and --expect with the digest that you were told.

    \b
    Examples:
      trustkit root sign ceremony.json --rehearse
      trustkit root sign ceremony.json --expect 5d41402a
    """
    from trustkit.client.ceremony import Holding
    from trustkit.config import lifetimes
    from trustkit.errors import BadCeremony
    from trustkit.home.files import write_atomically
    from trustkit.keys import private

    ceremony = _read(file)
    store = ctx.key_store(passphrase_file, passphrase_fd)
    holding = Holding(store, ctx.home.pins, ctx.home.signed_roots, lifetimes=lifetimes(ctx.environ).value)
    _show(ceremony)
    if expect is not None and not ceremony.fingerprint.startswith(_hex(expect)):
        raise BadCeremony(
            f"What {file} would have signed is {ceremony.fingerprint}, not {expect}.",
            hint="Don't sign. Ask who proposed it, by another channel.",
        )
    signable = holding.check(ceremony, ctx.now(), current=_hex(current) if current else None, again=again)
    if not signable.asked:
        note(f"The root keys here have signed it already: {', '.join(key[:16] for key in signable.done)}.")
        return
    if not rehearse:
        _agree(ctx, f"Sign this root of {ceremony.gun}", yes=yes)
    signed = holding.sign(ceremony, signable, rehearse=rehearse)
    for info in signable.asked:
        note(f"{'Would sign' if rehearse else 'Signed'} with the root key {info.id[:16]}.")
    if rehearse:
        note("A rehearsal: nothing was written.")
    elif signature_out:
        private.create(signature_out, signed.render_signatures(info.id for info in signable.asked))
        note(f"Wrote {signature_out}.")
    else:
        write_atomically(file, signed.render())
    _lacks(signed)
    data(ceremony.fingerprint)


@click.command("publish")
@click.argument("file", type=FILE, metavar="FILE")
@click.option(
    "--signature",
    "signatures",
    multiple=True,
    type=FILE,
    metavar="FILE",
    help="Take signatures from FILE, too. Repeatable.",
)
@click.option("--rehearse", is_flag=True, help="Do all of it but the upload, and say what would happen.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask, also where tags lose trust.")
@passphrase_options
@click.pass_obj
def publish(
    ctx: Context,
    file: Path,
    signatures: tuple[Path, ...],
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    rehearse: bool,
    yes: bool,
) -> None:
    """Publish the root of a ceremony FILE once enough holders have signed it, and read it back.

    The other signatures may lie in copies of FILE or in files of signatures. Where the root names other repository
    keys, the tags are signed anew in the same publish, by the new ones: they have to be here.

    \b
    Example:
      trustkit root publish ceremony.json --signature dora.sig
    """
    from trustkit.cli.agree import show

    ceremony = _read(file)
    for other in signatures:
        ceremony = ceremony.merged(_bytes(other), str(other))
    _show(ceremony)
    ceremonies = _ceremonies(ctx, passphrase_file, passphrase_fd)
    if rehearse:
        show(ceremonies.rehearse(ceremony))
        note("A rehearsal: the service would take it. Nothing was published.")
        return
    view = ceremonies.publish(ceremony, ctx.agreeing(yes=yes))
    data(f"{ceremony.gun}: root version {view.versions['root']}")
    if {*ceremony.proposed.roles["root"].keyids} != {*ceremony.old.roles["root"].keyids}:
        note("Consumers who trust now follow by themselves; new ones:")
        keys = " ".join(f"--root-key {key_id}" for key_id in sorted(ceremony.signatures) if key_id in view.root_keys)
        threshold = ceremony.proposed.roles["root"].threshold
        note(f"  trustkit pin add {ceremony.gun} {keys} --threshold {threshold}")
        note("If a key that went was stolen, everybody who pinned it, or a root file from before, has to pin anew.")


def _ceremonies(ctx: Context, passphrase_file: Path | None, passphrase_fd: int | None) -> Ceremonies:
    from trustkit.client.ceremony import Ceremonies
    from trustkit.config import lifetimes

    store = ctx.key_store(passphrase_file, passphrase_fd)
    return Ceremonies(
        tuf_publisher(ctx, store),
        store,
        lifetimes=lifetimes(ctx.environ).value,
        clock=ctx.now,
        say=note,
    )


def _read(path: Path) -> Ceremony:
    from trustkit.core.ceremony import read_ceremony

    return read_ceremony(_bytes(path), str(path))


def _bytes(path: Path) -> bytes:
    from trustkit.core.ceremony import MAX_FILE
    from trustkit.home.files import read_bounded

    return read_bounded(path, MAX_FILE) or b""


def _hex(text: str) -> str:
    """A digest as people read it to each other, or its beginning; raises UsageError."""
    from trustkit.errors import UsageError

    plain = "".join(text.split()).lower()
    if not 16 <= len(plain) <= 64 or set(plain) - set("0123456789abcdef"):
        raise UsageError(f"{text[:80]!r} is no digest.", hint="Give at least its first 16 hex digits.")
    return plain


def _show(ceremony: Ceremony) -> None:
    """All that the proposed root says, and what it changes: somebody decides on these lines alone."""
    from trustkit.client.roots import shown
    from trustkit.core.difference import root_changes

    old, root = ceremony.old, shown(ceremony.proposed, frozenset(ceremony.signatures))
    note(f"{ceremony.gun}: root version {root.version}, after version {old.version}")
    note(f"  expires {root.expires:%Y-%m-%d %H:%M} UTC; the current one {old.expires:%Y-%m-%d %H:%M} UTC")
    for role in root.roles:
        note(f"  {role.name}: {role.threshold} of")
        for key in role.keys:
            note(f"    {key.id} {key.algorithm}{' (has signed)' if key.signed else ''}")
    for line in root_changes(old, ceremony.proposed) or ["nothing but its version and expiry"]:
        note(f"  changes: {line}")
    note(f"  current sha256 {ceremony.base}")
    note(f"  to sign sha256 {ceremony.fingerprint}")


def _agree(ctx: Context, question: str, *, yes: bool) -> None:
    from trustkit.errors import UsageError

    if yes:
        return
    if not ctx.interactive:
        raise UsageError("Nobody is there to agree.", hint="Give --yes, and --expect with the digest you were told.")
    if not ctx.ask(question):
        raise click.Abort


def _lacks(ceremony: Ceremony) -> None:
    for sentence in ceremony.missing:
        note(sentence[0].upper() + sentence[1:] + ".")
    if not ceremony.missing:
        note("Enough holders have signed: trustkit root publish")
