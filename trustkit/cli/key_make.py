"""``trustkit key generate`` and ``trustkit key add``: new keys here, on a token or in a key service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.context import Context
from trustkit.cli.key_options import ROLES, describe, names, passphrase, public_out, purpose, subject

if TYPE_CHECKING:
    from trustkit.core.ports.keys import KeyInfo

ALGORITHMS = click.Choice(["ed25519", "ecdsa-p256", "ecdsa-p384", "rsa"])


@click.command()
@click.option(
    "--role", type=ROLES, help="What the key is for. Default: signer with --name, repository with --gun, else root."
)
@subject
@click.option("--algorithm", type=ALGORITHMS, help="Default: ed25519; on a token ecdsa-p256.")
@click.option("--rsa-bits", type=int, default=3072, show_default=True, help="The size of an RSA key, 2048 to 4096.")
@click.option("--hsm", metavar="URI", help="Make it on the token of this pkcs11: URI, which it never leaves.")
@public_out
@passphrase
@click.pass_obj
def generate(
    ctx: Context,
    role: str | None,
    gun: str | None,
    name: str | None,
    algorithm: str | None,
    rsa_bits: int,
    hsm: str | None,
    public_out: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> None:
    """Make a new key and print its ID.

    On a token the passphrase is its PIN, and the key is ECDSA on P-256 or P-384.

    \b
    Examples:
      trustkit key generate --role root
      trustkit key generate --name bob --public-out bob.pub
    """
    from trustkit.core.ports.keys import KeyRole
    from trustkit.keys import publicfile
    from trustkit.keys.keypairs import Algorithm
    from trustkit.keys.uris import parse_token

    if public_out:
        publicfile.check_free(public_out)
    store = ctx.key_store(passphrase_file, passphrase_fd)
    its_gun, its_name = names(gun, name)
    its_role = KeyRole(role or ("signer" if name else "repository" if gun else "root"))
    if hsm is None:
        kind = Algorithm(algorithm or "ed25519")
        info = store.generate(its_role, gun=its_gun, name=its_name, algorithm=kind, rsa_bits=rsa_bits)
    else:
        kind = Algorithm(algorithm or "ecdsa-p256")
        info = store.generate_at(parse_token(hsm), its_role, gun=its_gun, name=its_name, algorithm=kind)
    _tell("Made", info, store.path(info.id), public_out)


@click.command()
@click.argument("uri", metavar="URI")
@purpose
@public_out
@passphrase
@click.pass_obj
def add(
    ctx: Context,
    uri: str,
    role: str,
    gun: str | None,
    name: str | None,
    public_out: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> None:
    """Take in a key that is on a token or in a key service, and print its ID.

    URI is pkcs11:token=NAME;object=LABEL, awskms:KEY, hv:NAME, azurekms://VAULT.vault.azure.net/keys/NAME or
    gcpkms:projects/...; put it in quotes. The key has to sign once. It stays where it is, and so does its PIN: a URI
    with one is refused.

    \b
    Example:
      trustkit key add 'pkcs11:token=office;object=root' --role root
    """
    from trustkit.core.ports.keys import KeyRole
    from trustkit.keys import publicfile
    from trustkit.keys.uris import parse_uri

    if public_out:
        publicfile.check_free(public_out)
    store = ctx.key_store(passphrase_file, passphrase_fd)
    its_gun, its_name = names(gun, name)
    info = store.register(parse_uri(uri), KeyRole(role), gun=its_gun, name=its_name)
    _tell("Took in", info, store.path(info.id), public_out)


def _tell(done: str, info: KeyInfo, path: Path, public: Path | None) -> None:
    from trustkit.keys import publicfile

    output.data(info.id)
    output.note(f"{done} {describe(info)}: {info.uri or path}")
    if public:
        publicfile.write(public, info.public)
        output.note(f"Its public half: {public}")
