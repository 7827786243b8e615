"""``trustkit key remember`` and ``trustkit key forget``: passphrases in the system keyring."""

from __future__ import annotations

import re
from pathlib import Path

import click

from trustkit.cli import output
from trustkit.cli.context import Context

FILE = click.Path(path_type=Path, dir_okay=False)
_WHOLE_ID = re.compile(r"[0-9a-f]{64}\Z")


@click.command("remember")
@click.argument("key_id", metavar="ID")
@click.option("--passphrase-file", type=FILE, metavar="FILE", help="Read the passphrase from FILE.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase from descriptor N.")
@click.pass_obj
def remember(ctx: Context, key_id: str, passphrase_file: Path | None, passphrase_fd: int | None) -> None:
    """Put a key's passphrase into the system keyring, after it has opened the key.

    With TRUSTKIT_KEYRING=1, commands that need the key then find it there.

    \b
    Example:
      trustkit key remember 3f1a0879
    """
    from trustkit.keys import systemkeyring
    from trustkit.keys.passphrase import PassphraseSource
    from trustkit.keys.store import FileKeyStore
    from trustkit.keys.subjects import KeySubject

    is_on = systemkeyring.switched_on(ctx.environ)
    environ = {**ctx.environ, systemkeyring.KEYRING_SWITCH: "0"}  # what the keyring holds so far gets replaced
    source = PassphraseSource(
        environ=environ, file=passphrase_file, descriptor=passphrase_fd, interactive=ctx.interactive
    )
    store = FileKeyStore(ctx.home.keys, source)
    info = store.resolve(key_id)
    systemkeyring.remember(info.id, store.proved_passphrase(info))
    output.note(f"The system keyring holds the passphrase of {KeySubject.of(info)}.")
    if not is_on:
        output.note(f"It is used where {systemkeyring.KEYRING_SWITCH}=1 is set.")


@click.command("forget")
@click.argument("key_id", metavar="ID")
@click.pass_obj
def forget(ctx: Context, key_id: str) -> None:
    """Remove a key's passphrase from the system keyring; a whole ID does also where the key is gone.

    \b
    Example:
      trustkit key forget 3f1a0879
    """
    from trustkit.keys import systemkeyring

    whole = key_id if _WHOLE_ID.match(key_id) else ctx.key_store().resolve(key_id).id
    systemkeyring.forget(whole)
    output.note(f"The system keyring no longer holds the passphrase of the key {whole[:16]}.")
