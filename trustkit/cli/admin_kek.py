"""``trustkit admin kek``: the key-encryption key, moved under a key on a token or in a key service, and back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.admin_service import Service, format_option, now, pass_service, show
from trustkit.cli.kek_options import kek_options, required_wrapper
from trustkit.errors import UsageError

if TYPE_CHECKING:
    from trustkit.authority.kekrotation import Rotated
    from trustkit.authority.keks import Check, Keks
    from trustkit.core.ports.service import Store


@click.group("kek")
def kek() -> None:
    """The key-encryption key, which seals the private keys of this service.

    DIR may be the data folder of a separate signer, too.
    """


@kek.command("show")
@click.option("--kek-file", type=click.Path(dir_okay=False, path_type=Path), help="The plain file. [DATA_DIR/kek]")
@format_option
@pass_service
def kek_show(service: Service, kek_file: Path | None, layout: str) -> None:
    """Show where it lies, and what wraps it. No device is asked.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit kek show
    """
    from trustkit.server.kek import KekSource

    found = KekSource(kek_file).of(service.data_dir).places()
    rows: list[dict[str, object]] = [
        {"place": each.path, "id": each.id, "uri": each.uri, "how": each.how} for each in found
    ]
    show(layout, ("place", "id", "uri", "how"), rows)
    if not rows:
        output.note("There is no key-encryption key here yet; the service makes it at its first start.")


@kek.command("generate")
@click.option("--kek-uri", metavar="URI", help="Token and label of the new key.")
@click.option(
    "--kek-pin-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the PIN of the token.",
)
@pass_service
def kek_generate(service: Service, kek_uri: str | None, kek_pin_file: Path | None) -> None:
    """Make a key on a token that can wrap the key-encryption key, and never leaves the token.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit kek generate --kek-uri 'pkcs11:token=service;object=kek'
    """
    del service
    from trustkit.keys.tokenwrap import TokenWrapper

    wrapper = required_wrapper(kek_uri, kek_pin_file)
    if not isinstance(wrapper, TokenWrapper):
        raise UsageError("A key is made on a token, of a pkcs11: URI.", hint="Key services have their own tools.")
    try:
        wrapper.generate()
    finally:
        wrapper.close()
    output.note(f"Made an AES-256 key: {wrapper.uri}")


@kek.command("wrap")
@kek_options
@pass_service
def kek_wrap(service: Service, kek_file: Path | None, kek_uri: str | None, kek_pin_file: Path | None) -> None:
    """Move the key-encryption key from its plain file under the key at URI.

    The plain file is removed once the wrapped one was written, and opened again by the device. Nothing that is
    sealed changes. A service that runs goes on; from its next start on it needs --kek-uri.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit kek wrap --kek-uri 'pkcs11:token=service;object=kek'
    """
    moved = _keks(service, kek_file, kek_uri, kek_pin_file).wrap(_check(service))
    _record(service, "kek-wrapped", moved.uri, moved.id)
    output.data(f"{moved.path}: wrapped by {moved.uri}")
    output.note("Start the service with --kek-uri from now on. Copies of the plain file open all that is sealed.")


@kek.command("unwrap")
@kek_options
@pass_service
def kek_unwrap(service: Service, kek_file: Path | None, kek_uri: str | None, kek_pin_file: Path | None) -> None:
    """Move the key-encryption key back into a plain file.

    The wrapped file is removed once the plain one was written and read again.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit kek unwrap --kek-uri 'pkcs11:token=service;object=kek'
    """
    keks = _keks(service, kek_file, kek_uri, kek_pin_file)
    moved = keks.unwrap(_check(service))
    _record(service, "kek-unwrapped", moved.path, moved.id)
    output.data(f"{moved.path}: plain")
    output.note("Start the service without --kek-uri from now on, and keep that file out of backups.")


@kek.command("rotate")
@click.option("--kek-file", type=click.Path(dir_okay=False, path_type=Path), help="The plain file. [DATA_DIR/kek]")
@click.option("--stage", is_flag=True, help="Only put the new key before the old one; both open until the next call.")
@pass_service
def kek_rotate(service: Service, kek_file: Path | None, *, stage: bool) -> None:
    """Make a new key-encryption key, and seal everything under it while the service goes on.

    The old one leaves its file at the end; backups from before open with it only. DIR may be the data folder of a
    separate signer, too, which goes on as well.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit kek rotate
    """
    from trustkit.authority.kekrotation import KekRotation
    from trustkit.server.kek import require_data_dir, sealed_places
    from trustkit.store.kek import KekFolder

    require_data_dir(service.data_dir, service.database)
    files = KekFolder(service.data_dir, kek_file)

    async def change() -> Rotated:
        async with sealed_places(service.data_dir, service.database) as places:
            rotation = KekRotation(places, files, actor=service.actor, clock=now)
            return await (rotation.stage() if stage else rotation.rotate())

    done = asyncio.run(change())
    if stage:
        output.data(f"{files.plain}: {done.new} before {done.old}")
        output.note("Bring this file to every process that reads another copy; then: trustkit admin kek rotate")
        return
    output.data(f"{files.plain}: {done.new} in place of {done.old}; sealed anew: {done.resealed}")
    output.note("Keep the old one as long as the backups from before.")


def _keks(service: Service, kek_file: Path | None, kek_uri: str | None, kek_pin_file: Path | None) -> Keks:
    from trustkit.server.kek import KekSource, require_data_dir

    require_data_dir(service.data_dir, service.database)
    return KekSource(kek_file, required_wrapper(kek_uri, kek_pin_file)).of(service.data_dir)


def _check(service: Service) -> Check:
    from trustkit.server.kek import require_ours

    return lambda found: asyncio.run(require_ours(service.data_dir, found, service.database))


def _record(service: Service, action: str, subject: str, key_id: str) -> None:
    """A row of the audit log; a separate signer has none."""
    from trustkit.core.ports.service import AuditRow

    async def append(store: Store) -> None:
        async with store.write() as tx:
            await tx.audit.append(AuditRow(now(), service.actor, "local", action, subject, {"id": key_id}))

    if service.database.exists:
        service.run(append)
