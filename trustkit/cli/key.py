"""``trustkit key``: list, show, export, import and remove signing keys, and change their passphrases.

Making keys, backups and the system keyring have modules of their own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.context import Context
from trustkit.cli.key_backup import backup, restore
from trustkit.cli.key_docker import export_folder, import_folder
from trustkit.cli.key_make import add, generate
from trustkit.cli.key_options import FILE, ROLES, Command, describe, names, passphrase
from trustkit.cli.key_remember import forget, remember
from trustkit.cli.key_rotate import rotate
from trustkit.cli.keyrows import key_row

if TYPE_CHECKING:
    from trustkit.core.ports.keys import KeyInfo
    from trustkit.keys.passphrase import PassphraseSource


FOLDER = click.Path(path_type=Path)


def _new_passphrase(command: Command) -> Command:
    return click.option(
        "--new-passphrase-file", type=FILE, metavar="FILE", help="Read the new passphrase from FILE."
    )(command)


@click.group("key", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Make, list, export, import and remove signing keys.

    A key's ID may be shortened to its first 8 or more hex digits.
    """


for each in (generate, add, backup, restore, remember, forget, rotate):
    command.add_command(each)


@command.command("list")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def list_keys(ctx: Context, form: str) -> None:
    """List the keys that are here; asks for no passphrase.

    \b
    Example:
      trustkit key list
    """
    times = {key_id: f"{at:%Y-%m-%dT%H:%M:%SZ}" for key_id, at in ctx.home.backups.times().items()}
    rows = [{**key_row(info), "uri": info.uri, "backed_up": times.get(info.id)} for info in ctx.key_store().list()]
    if form == "json":
        output.data_json(rows)
        return
    cells = [
        (
            *(row["id"], row["role"], row["gun"] or row["name"] or "-", row["algorithm"]),
            *(row["backed_up"] or "never", row["uri"] or "file"),
        )
        for row in rows
    ]
    headers = ("ID", "ROLE", "GUN OR NAME", "ALGORITHM", "BACKED UP", "PLACE")
    output.table(headers, [tuple(map(str, line)) for line in cells])


@command.command()
@click.argument("key_id", metavar="ID")
@click.pass_obj
def show(ctx: Context, key_id: str) -> None:
    """Show a key's public half and what it is for, as JSON; asks for no passphrase.

    \b
    Example:
      trustkit key show 3f1a0879
    """
    from trustkit.keys.keypairs import public_pem

    store = ctx.key_store()
    info = store.resolve(key_id)
    output.data_json(
        {**key_row(info), "uri": info.uri, "public": public_pem(info.public), "file": str(store.path(info.id))}
    )


@command.command()
@click.argument("key_ids", metavar="[ID]...", nargs=-1)
@click.option("-o", "--output", "target", type=FILE, metavar="FILE", help="Write to FILE, 0600, and never over one.")
@click.option("--public", is_flag=True, help="The public half, PEM; asks for no passphrase.")
@click.option(
    "--docker",
    type=FOLDER,
    metavar="DIR",
    help="Write into Docker's or Notary's trust folder; all keys unless named.",
)
@passphrase
@_new_passphrase
@click.pass_obj
def export(
    ctx: Context,
    key_ids: tuple[str, ...],
    target: Path | None,
    public: bool,
    docker: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    new_passphrase_file: Path | None,
) -> None:
    """Write a key as encrypted PKCS#8 that openssl pkey opens.

    The copy has the key's own passphrase, or the one of --new-passphrase-file. With --docker it is a file of
    DIR/private that docker and notary read, under a passphrase from --new-passphrase-file, from their own variables,
    or asked for.

    \b
    Examples:
      trustkit key export 3f1a0879 --public -o bob.pub
      trustkit key export 3f1a0879 -o key.pem
    """
    from trustkit.errors import UsageError
    from trustkit.keys import private
    from trustkit.keys.keypairs import public_pem

    store = ctx.key_store(passphrase_file, passphrase_fd)
    if docker is not None:
        if target or public:
            raise UsageError("--docker names the files itself: leave --output and --public out.")
        export_folder(store, key_ids, docker, _new_source(ctx, new_passphrase_file, exported=True))
        return
    if len(key_ids) != 1:
        raise UsageError("Name one key.", hint="Several go into a folder, --docker DIR, or a backup: key backup.")
    info = store.resolve(key_ids[0])
    pem = public_pem(info.public).encode() if public else store.export(info, _new(ctx, new_passphrase_file))
    if target is None:
        output.data(pem.decode("ascii").rstrip("\n"))
        return
    private.write_new(target, pem)
    output.note(f"Wrote {'the public half of ' if public else ''}{describe(info)} to {target}")


@command.command("import")
@click.argument("file", type=FILE, metavar="[FILE]", required=False)
@click.option("--docker", type=FOLDER, metavar="DIR", help="Take in all keys of Docker's or Notary's trust folder.")
@click.option("--dry-run", is_flag=True, help="With --docker: only tell; asks for no passphrase.")
@click.option("--format", "layout", type=click.Choice(["table", "json"]), default="table", help="With --docker.")
@click.option("--json", "as_json", is_flag=True, hidden=True)  # what --format json was before
@click.option("--role", type=ROLES, help="What the key is for; trustkit's own files say it themselves.")
@click.option("--gun", metavar="GUN", help="The collection of a repository key.")
@click.option("--name", metavar="NAME", help="The name of a signer.")
@passphrase
@_new_passphrase
@click.pass_context
def import_key(
    click_context: click.Context,
    file: Path | None,
    docker: Path | None,
    role: str | None,
    gun: str | None,
    name: str | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    new_passphrase_file: Path | None,
    *,
    layout: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take in a private key: PKCS#8, SEC1 or PKCS#1 in PEM, encrypted or not.

    FILE may be - for stdin. An encrypted key keeps its passphrase unless --new-passphrase-file is given. With
    --docker the files say what their keys are for; one that can't be read is told, and keeps no other from its turn.

    \b
    Examples:
      trustkit key import key.pem --role signer --name bob
      trustkit key import --docker ~/.docker/trust --dry-run
    """
    from trustkit.core.ports.keys import KeyRole
    from trustkit.errors import UsageError
    from trustkit.keys import private
    from trustkit.keys.keyfile import MAX_BYTES

    ctx: Context = click_context.obj
    new = _new(ctx, new_passphrase_file)
    as_json |= layout == "json"
    if docker is not None:
        if file or role or gun:
            raise UsageError("The files in DIR say what they are: --docker goes with --name alone.")
        source, called = ctx.passphrases(passphrase_file, passphrase_fd), names(None, name)[1]
        import_folder(
            click_context, docker, passphrases=source, new=new, name=called, dry_run=dry_run, as_json=as_json
        )
        return
    if file is None or dry_run or as_json:
        raise UsageError("Give a FILE, or --docker DIR; --dry-run and --format go with --docker.")
    if role is None and (gun or name):
        raise UsageError("--gun and --name belong to a role.", hint="Give --role.")
    piped = str(file) == "-"
    if piped and passphrase_fd == 0:
        raise UsageError("Only one of the key and the passphrase can come from stdin.")
    store = ctx.key_store(passphrase_file, passphrase_fd)
    parsed_gun, parsed_name = names(gun, name)
    info = store.import_key(
        sys.stdin.buffer.read(MAX_BYTES + 1) if piped else private.read(file, MAX_BYTES),
        role=KeyRole(role) if role else None,
        gun=parsed_gun,
        name=parsed_name,
        origin="stdin" if piped else str(file),
        new=new,
    )
    output.data(info.id)
    output.note(f"Imported {describe(info)}: {store.path(info.id)}")


@command.command()
@click.argument("key_id", metavar="ID")
@passphrase
@_new_passphrase
@click.pass_obj
def passwd(
    ctx: Context,
    key_id: str,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    new_passphrase_file: Path | None,
) -> None:
    """Change a key's passphrase.  Copies of its file keep the old one.

    \b
    Example:
      trustkit key passwd 3f1a0879
    """
    store = ctx.key_store(passphrase_file, passphrase_fd)
    info = store.resolve(key_id)
    store.change_passphrase(info, _new_source(ctx, new_passphrase_file))
    output.note(f"Changed the passphrase of {describe(info)}.")


@command.command()
@click.argument("key_id", metavar="ID")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@click.pass_obj
def remove(ctx: Context, key_id: str, yes: bool) -> None:
    """Remove a key's file, after saying what is lost with it.

    \b
    Example:
      trustkit key remove 3f1a0879
    """
    from trustkit.errors import UsageError

    store = ctx.key_store()
    info = store.resolve(key_id)
    output.note(f"This removes {describe(info)}: {store.path(info.id)}")
    output.note(_loss(info))
    if not yes:
        if not ctx.interactive:
            raise UsageError("Nobody is there to confirm it.", hint="Give --yes.")
        click.confirm("Remove it?", abort=True, err=True)
    store.remove(info)
    output.note("Removed.")


def _new(ctx: Context, file: Path | None) -> PassphraseSource | None:
    return None if file is None else _new_source(ctx, file)


def _new_source(ctx: Context, file: Path | None, *, exported: bool = False) -> PassphraseSource:
    """Where a passphrase that replaces another comes from: the file or the prompt, never the old one's sources.

    Args:
        exported: Docker's and Notary's variables count, which will open what is written.
    """
    from trustkit.keys.passphrase import PassphraseSource

    environ = ctx.environ if exported else {}
    return PassphraseSource(environ=environ, file=file, interactive=ctx.interactive, option="--new-passphrase-file")


def _loss(info: KeyInfo) -> str:
    """What nobody can do any more without a backup of this key."""
    if info.uri:
        return f"The key itself stays where it is, at {info.uri}; trustkit key add takes it in again."
    return {
        "root": "Without a backup, the keys of every collection under this root can never be changed again, and none "
        "can be renewed when it expires: consumers have to pin a new root.",
        "repository": f"Without a backup, nothing in {info.gun} can be signed or revoked until its root key names a "
        "new repository key.",
        "snapshot": f"Without a backup, nothing in {info.gun} can be published until its root key names a new one.",
        "signer": f"Without a backup, {info.name} can't sign until the repository key names a new signer key.",
    }[str(info.role)]
