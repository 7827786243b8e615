"""Pins from what a person gives: files and ids, of either format."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from trustkit.core.pincheck import MAX_AUTHORITIES, MAX_ROOT, is_dockers
from trustkit.core.ports.remote import Pin
from trustkit.errors import NotTrusted, TrustkitError, UsageError, WrongFormat
from trustkit.home.files import read_bounded

if TYPE_CHECKING:
    from tuf.api.metadata import Root

    from trustkit.cli.context import Context

PROBE_SECONDS = 3.0


def pin_of(
    ctx: Context,
    pattern: str,
    *,
    root_file: Path | None,
    root_keys: tuple[str, ...],
    threshold: int | None,
    ca_file: Path | None,
    wire: str | None,
) -> Pin:
    """The pin for exactly one of a root file, root keys and authorities.

    Args:
        wire: the format; None where nobody said one: ``tuf`` then, unless it is seen to be another one.

    Raises:
        UsageError: a file that isn't what it should be.
        WrongFormat: nobody said a format, and the collection's is ``docker``.
    """
    if ca_file is not None:
        return Pin(pattern, format=wire or "tuf", authorities=_authorities(ca_file, wire))
    if root_file is not None:
        return Pin(pattern, root=_root(root_file, pattern, wire), format=wire or "tuf")
    if wire is None:
        _check_served(ctx, pattern)
    return Pin(pattern, key_ids=root_keys, threshold=threshold or len(root_keys), format=wire or "tuf")


def _authorities(path: Path, wire: str | None) -> bytes:
    if wire != "docker":
        raise UsageError("--ca goes with --format docker: root keys of format tuf have no certificates.")
    from trustkit.core.formats.docker.keys import pem
    from trustkit.core.formats.docker.pins import authorities

    data = read_bounded(path, MAX_AUTHORITIES) or b""
    try:
        return pem(authorities(data))
    except TrustkitError as error:
        raise UsageError(f"{path}: {error.message}") from error


def _root(path: Path, pattern: str, wire: str | None) -> bytes:
    """A root file's bytes.

    It has to name the one GUN that it is pinned for (TRUST 1.3), and its keys have to be what their ids say, because
    the ids are what a person compares (TRUST 2.1).
    """
    from trustkit.core.patterns import GunPattern

    data = read_bounded(path, MAX_ROOT) or b""
    if is_dockers(data) and wire is None:
        raise _say_format(f"{path} is a root file of Docker's format.")
    try:
        if is_dockers(data) != (wire == "docker"):
            raise UsageError(f"it is not of format {wire or 'tuf'}.")
        named = _docker_gun(data) if wire == "docker" else _guns(data)
    except TrustkitError as error:
        raise UsageError(f"{path} is not a root file: {error.message}") from error
    if str(GunPattern.parse(pattern)) not in named:
        raise UsageError(
            f"{path} is the root of {' and '.join(named) or 'no collection'}, not of {pattern}.",
            hint="A root file is pinned for the collection that it names; for a pattern, pin root key ids.",
        )
    return data


def _guns(data: bytes) -> list[str]:
    from trustkit.core.formats.tuf1 import guns
    from trustkit.core.pinning import root_key_ids

    root_key_ids(data)
    return [str(gun) for gun in guns(_parsed(data))]


def _docker_gun(data: bytes) -> list[str]:
    """The GUN that the root certificates name."""
    from tuf.api.metadata import Root

    from trustkit.core.formats.docker.certificates import common_names
    from trustkit.core.formats.docker.files import read
    from trustkit.core.formats.docker.keys import key_of
    from trustkit.core.formats.docker.pins import signing_keys
    from trustkit.core.formats.docker.roots import root_keys
    from trustkit.core.names import Gun

    keys = [key_of(key) for key in root_keys(read(data, Root).signed).values()]
    names = sorted({name for key in keys for name in (common_names(key.certificates[0]) if key.certificates else ())})
    for name in names:
        signing_keys(data, Gun.parse(name))
    return names


def _parsed(data: bytes) -> Root:
    from tuf.api.metadata import Root

    from trustkit.core.formats import tuf1

    return tuf1.read(data, Root).signed


def root_keys_of(data: bytes) -> tuple[str, ...]:
    """The ids of a pinned root file's root keys, in order."""
    if not is_dockers(data):
        return tuple(sorted(_parsed(data).roles["root"].keyids))
    from tuf.api.metadata import Root

    from trustkit.core.formats.docker.files import read

    return tuple(sorted(read(data, Root).signed.roles["root"].keyids))


def fingerprints(data: bytes) -> list[str]:
    """Of pinned authorities the SHA-256 of each certificate, as ``openssl x509 -fingerprint -sha256`` has it."""
    from cryptography.hazmat.primitives.hashes import SHA256

    from trustkit.core.formats.docker.pins import authorities

    return [one.fingerprint(SHA256()).hex(":").upper() for one in authorities(data)]


def _check_served(ctx: Context, pattern: str) -> None:
    """Looks whether the service has Docker's collection of this GUN and no other; says so instead of guessing.

    Pinning needs no network: where nobody answers in a moment, ``tuf`` it is, under which nothing older is taken.

    Raises:
        WrongFormat.
    """
    from trustkit.core.names import Gun
    from trustkit.core.patterns import GunPattern

    if not GunPattern.parse(pattern).exact:
        return
    gun, found = Gun.parse(pattern), list[str]()

    def ask() -> None:
        try:
            ctx.source.first_root(gun)
        except NotTrusted:
            try:
                ctx.source.first_root(gun, wire="docker")
                found.append("docker")
            except TrustkitError:
                return
        except TrustkitError:
            return

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PROBE_SECONDS)
    if found:
        raise _say_format(f"{gun} is signed in Docker's format.")


def _say_format(why: str) -> WrongFormat:
    return WrongFormat(
        f"{why} Nothing was pinned.", hint="If that is what you want, repeat with --format docker.", format="docker"
    )
