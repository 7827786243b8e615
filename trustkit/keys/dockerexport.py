"""Writing keys of a home into a folder of Docker's or Notary's: all of them or none, never over a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trustkit.core.ports.keys import KeyInfo
from trustkit.keys import dockerfolder, dockerkeys, private
from trustkit.keys.dockerkeys import purpose_of
from trustkit.keys.dockerstore import in_docker
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.store import FileKeyStore
from trustkit.keys.subjects import DockerSubject, KeySubject


def export(store: FileKeyStore, infos: Sequence[KeyInfo], folder: Path, new: PassphraseSource) -> list[Path]:
    """Writes the keys, 0600 in a folder of 0700, each under a passphrase for the export.

    Args:
        folder: a trust folder, or its folder of private keys; made where it is missing.
        new: where the passphrases of the export come from.

    Returns:
        Their files, in the order of the keys.

    Raises:
        KeyExists: one of them is there already, found before a passphrase is asked for.
        KeyUnsupported: a key that Docker can't use.
        UsageError: one that is elsewhere and never leaves it.
        WrongPassphrase, NoPassphrase, WeakPassphrase, StateError.
    """
    for info in infos:
        store.check_here(info)
        dockerkeys.check_usable(info)
    target = dockerfolder.target_folder(folder)
    ids = [in_docker(info).id for info in infos]
    paths = [dockerfolder.free_path(target, key_id) for key_id in ids]
    files: dict[Path, bytes] = {}
    for info, key_id, path in zip(infos, ids, paths, strict=True):
        opened = store.opened(info)
        passphrase = new.new(DockerSubject(str(KeySubject.of(info)), info.role, key_id, export=True))
        files[path] = dockerkeys.render(opened, passphrase.value, purpose_of(info))
    if not folder.exists():
        private.ensure_folder(folder)
    private.ensure_folder(target)
    with private.placing(files):
        pass
    return paths
