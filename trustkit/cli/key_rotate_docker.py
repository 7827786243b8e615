"""``trustkit key rotate`` in collections of format ``docker``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from trustkit.cli.output import data, note
from trustkit.cli.publickeys import public_key
from trustkit.cli.rotating import Asked, each
from trustkit.core.names import Gun
from trustkit.errors import KeyMissing, UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import Key

    from trustkit.cli.context import Context
    from trustkit.client.docker_rotate import DockerRotate
    from trustkit.client.either import EitherPublisher
    from trustkit.client.rotate import Agree, Rotated
    from trustkit.core.ports.keys import KeyInfo, KeyStore
    from trustkit.keys.store import FileKeyStore


@dataclass(frozen=True, slots=True)
class Stores:
    """The keys of a home, or of Docker's folder, and what publishes with them.

    Attributes:
        docker: has them by their ids in format ``docker``.
        own: whether they are the home's.
    """

    home: FileKeyStore
    docker: KeyStore
    either: EitherPublisher
    own: bool

    @classmethod
    def of(
        cls, ctx: Context, passphrase_file: Path | None, passphrase_fd: int | None, trust_dir: Path | None
    ) -> Self:
        """Nothing is opened yet."""
        from trustkit.cli.publishing import docker_store, either

        passphrases = ctx.passphrases(passphrase_file, passphrase_fd)
        home = ctx.key_store(passphrases=passphrases)
        docker = docker_store(passphrases, home, trust_dir)
        made = either(ctx, passphrases, trust_dir=trust_dir, store=home, docker_keys=docker)
        return cls(home, docker, made, trust_dir is None)


def rotate_docker(click_context: click.Context, stores: Stores, guns: Sequence[Gun], asked: Asked) -> None:
    """Rotates in each collection, as ``trustkit key rotate`` does in the other format."""
    from trustkit.client.docker_rotate import DockerRotate

    ctx: Context = click_context.obj
    agree, role = ctx.agreeing(yes=asked.yes), asked.role
    rotation = DockerRotate(stores.either.docker, stores.docker, ctx.home.rotations, clock=ctx.now, say=note)
    if role not in ("repository", "root", "signer"):
        _online(rotation, guns, role, agree)
        return
    if asked.public is not None and role == "root":
        raise UsageError("In format docker the new root key signs a certificate of its own, so it has to be here.")
    new = public_key(asked.public) if asked.public else _named(stores.docker, asked.key, role)
    done = each(click_context, guns, asked.by(rotation, new, agree), _tell)
    _old_keys(stores, done, remove=asked.remove_old)
    _tell(done)


def _tell(done: Sequence[Rotated]) -> None:
    """What whoever rotated has to do now."""
    for rotated in done:
        if str(rotated.role) == "root":
            note(f"New consumers: trustkit pin add {rotated.gun} --format docker --root-key {rotated.new}")


def _online(rotation: DockerRotate, guns: Sequence[Gun], role: str, agree: Agree) -> None:
    roles = ("snapshot", "timestamp") if role == "online" else (role,)
    for gun in guns:
        for rotated, (old, new) in rotation.online(gun, roles, agree).items():
            data(f"{gun}: {rotated} key {old[:16]} -> {new}")


def _named(store: KeyStore, key: str | None, role: str) -> Key | None:
    """The public half of a key of a store, opened, so that it is known."""
    if key is None:
        return None
    found = [info for info in store.list() if info.id.startswith(key) and str(info.role) == role]
    if len(found) != 1:
        raise KeyMissing(f"There is no one {role} key {key[:16]} in {store.place}.", hint="Its id is Docker's here.")
    store.unlock(found[0])
    (opened,) = store.find(frozenset({found[0].id}))
    return opened.public


def _old_keys(stores: Stores, done: Sequence[Rotated], *, remove: bool) -> None:
    """What was read back is in use; only then is an old key's file removed, and only where that was said."""
    for info in {rotated.here.id: rotated.here for rotated in done if rotated.here}.values():
        if remove and stores.own:
            (home,) = [own for own in stores.home.list() if _same(own, info)]
            stores.home.remove(home)
            note(f"Removed the old {info.role} key {info.id[:16]}.")
        else:
            note(f"The old {info.role} key {info.id[:16]} stays in {stores.docker.place}.")


def _same(own: KeyInfo, info: KeyInfo) -> bool:
    from trustkit.keys.dockerstore import in_docker

    return in_docker(own).id == info.id
