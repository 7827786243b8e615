"""``trustkit key import --docker`` and ``trustkit key export --docker``: folders of Docker's and Notary's keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli import output
from trustkit.cli.context import Context
from trustkit.cli.key_options import describe

if TYPE_CHECKING:
    from trustkit.core.names import SignerName
    from trustkit.keys.dockerimport import Taken
    from trustkit.keys.passphrase import PassphraseSource
    from trustkit.keys.store import FileKeyStore


def import_folder(
    click_context: click.Context,
    folder: Path,
    *,
    passphrases: PassphraseSource,
    new: PassphraseSource | None,
    name: SignerName | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Takes in what it can, and ends with the status of the first file that can't be."""
    from trustkit.cli.status import exit_status
    from trustkit.keys.dockerimport import DockerImport, Outcome

    ctx: Context = click_context.obj
    done: list[Taken] = []
    for taken in DockerImport(ctx.key_store(), passphrases, new=new, name=name)(folder, dry_run=dry_run):
        done.append(taken)
        if not as_json:
            _tell(taken)
    if as_json:
        output.data_json([_row(taken) for taken in done])
    else:
        counts = Counter(taken.outcome for taken in done)
        words = {Outcome.IMPORTED: "imported", Outcome.WOULD: "to import", Outcome.HERE: "here already"}
        told = [f"{counts[outcome]} {word}" for outcome, word in words.items() if counts[outcome]]
        told += [f"{counts[Outcome.FAILED]} not imported"] if counts[Outcome.FAILED] else []
        output.note(f"{', '.join(told) or 'No key'}. The files in {folder} stay as they are.")
    failed = next((taken.error for taken in done if taken.error is not None), None)
    if failed is not None:
        click_context.exit(exit_status(failed))


def export_folder(store: FileKeyStore, key_ids: Sequence[str], folder: Path, new: PassphraseSource) -> None:
    """Writes these keys, or all that are here, and prints their files."""
    from trustkit.errors import UsageError
    from trustkit.keys.dockerexport import export

    infos = {info.id: info for info in map(store.resolve, key_ids)} if key_ids else {
        info.id: info for info in store.list()
    }  # fmt: skip
    if not infos:
        raise UsageError(f"There is no key in {store.place}.")
    paths = export(store, list(infos.values()), folder, new)
    for info, path in zip(infos.values(), paths, strict=True):
        output.data(str(path))
        output.note(f"Wrote {describe(info)} for Docker and Notary.")


def _tell(taken: Taken) -> None:
    from trustkit.cli.app import report
    from trustkit.keys.dockerimport import Outcome

    if taken.error is not None:
        report(taken.error, str(taken.path))
    elif taken.info is not None and taken.outcome is Outcome.IMPORTED:
        output.data(taken.info.id)
        output.note(f"Imported {describe(taken.info)} from {taken.path}")
    elif taken.info is not None:
        output.note(f"Here already: {describe(taken.info)}, in {taken.path}")
    else:
        output.note(f"To import: {_purpose(taken)}, in {taken.path}")
    if taken.warning:
        output.note(f"  Warning: {taken.warning}")


def _purpose(taken: Taken) -> str:
    from trustkit.keys.subjects import KeySubject

    purpose = taken.purpose
    return str(KeySubject(purpose.role, purpose.gun, purpose.name)) if purpose else "a key"


def _row(taken: Taken) -> dict[str, object]:
    purpose, error = taken.purpose, taken.error
    return {
        "file": str(taken.path),
        "docker_id": taken.docker_id or None,
        "outcome": str(taken.outcome),
        "id": taken.info.id if taken.info else None,
        "role": str(purpose.role) if purpose else None,
        "gun": str(purpose.gun) if purpose and purpose.gun else None,
        "name": str(purpose.name) if purpose and purpose.name else None,
        "warning": taken.warning or None,
        "error": {"slug": error.slug, "message": error.message, "hint": error.hint or None} if error else None,
    }
