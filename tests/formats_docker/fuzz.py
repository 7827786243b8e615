"""Coverage-guided fuzzing of format docker's reader: ``python -m tests.formats_docker.fuzz FOLDER [FLAGS]``.

A file is refused by an error of ours, or is written again as it was; and a collection with it is trusted only where
the file is the one that was signed.  FOLDER keeps the corpus; FLAGS are libFuzzer's: ``-max_total_time=3600``.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["trustkit.core.formats.docker", "trustkit.core.strictjson"]):
    from trustkit.core.formats.docker import canonical, evaluate, files, keys, times

from tests.formats_docker.forge import GUN, NOW, Forge, eddsa, role_of, rsa_pss, tags
from trustkit.errors import KeyUnsupported, Malformed, Rejected, TrustkitError

KINDS = ("root", "targets", "snapshot", "timestamp")


def collection() -> dict[str, bytes]:
    made, releases, alice = Forge(), rsa_pss(), eddsa()
    made.delegate(role_of("targets/releases", releases[0]), tags("v1", "odd <&>é"), releases)
    made.delegate(role_of("targets/alice", alice[0], paths=["v"]), tags("v2"), alice)
    return made.files()


FILES = collection()


def one_file(role: str, data: bytes) -> None:
    try:
        metadata = files.read(data, files.role_kind(role))
    except Rejected:
        metadata = None
    if metadata is not None:
        assert files.write(metadata) == data
        assert files.covered(metadata, data) == files.payload(metadata.signed)
    try:
        evaluate.evaluate({**FILES, role: data}, GUN, NOW)
    except TrustkitError:
        return
    assert data == FILES[role], "another file than the signed one is trusted"


def one_value(data: bytes) -> None:
    text = data.decode("latin-1")
    with contextlib.suppress(Malformed):
        times.read_time(text, "it")
    with contextlib.suppress(Malformed):
        assert canonical.base64_text(canonical.from_base64(text, "it", longest=100)) == text
    assert canonical.unescaped(canonical.escaped(data.replace(b"\\", b""))) == data.replace(b"\\", b"")
    for keytype in keys.METHODS:
        with contextlib.suppress(KeyUnsupported):
            keys.DockerKey(keytype, data)


def one(data: bytes) -> None:
    """The first byte says what the others are: the file of a role, or a value."""
    if data:
        which = data[0] % (len(KINDS) + 1)
        one_file(KINDS[which], data[1:]) if which < len(KINDS) else one_value(data[1:])


def main() -> None:
    folder, *flags = sys.argv[1:]
    Path(folder).mkdir(exist_ok=True)
    for number, (role, data) in enumerate(FILES.items()):
        kind = KINDS.index(role.partition("/")[0])
        (Path(folder) / f"seed-{number}").write_bytes(bytes([kind]) + data)
    for number, key in enumerate((eddsa()[0], rsa_pss()[0])):
        public = canonical.from_base64(key.keyval["public"], "it", longest=2000)
        (Path(folder) / f"key-{number}").write_bytes(bytes([len(KINDS)]) + public)
    atheris.Setup([sys.argv[0], *flags, folder], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
