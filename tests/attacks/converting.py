"""A collection of Docker's that its publisher converts, on a server that may hide either side of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner, Signer

from tests.attacks.collection import Collection
from tests.attacks.dockers import DockerStage
from tests.attacks.evil import Victim
from tests.formats_docker.forge import Pair
from trustkit.core.formats.docker.bare import as_tuf


def bare(pair: Pair) -> Signer:
    """A root key of Docker's without its certificate, as it signs in format tuf."""
    key, signer = pair
    return CryptoSigner(signer.private, as_tuf(key))  # type: ignore[attr-defined,arg-type]  # a RawSigner of the forge


@dataclass
class Converting:
    """A stage with a collection in format docker, until ``convert`` makes it one in format tuf.

    What ``v1`` is signed for differs between the two, so that each answer says which side it is from.
    """

    docker: DockerStage
    tuf: Collection = field(init=False)

    @property
    def gun(self) -> str:
        return str(self.docker.gun)

    @property
    def ref(self) -> str:
        return self.docker.ref

    @property
    def victim(self) -> Victim:
        return self.docker.victim

    @property
    def root_keys(self) -> list[Pair]:
        return self.docker.honest.forge.signers["root"]

    def make(self, *signers: Signer, name: str = "", change: Callable[[Collection], None] = lambda _: None) -> None:
        """Makes the collection in format tuf; its root key is the first of these, or Docker's."""
        from trustkit.core.names import Gun

        root = signers[0] if signers else bare(self.root_keys[0])
        self.tuf = Collection(Gun.parse(name) if name else self.docker.gun, root=root)
        self.tuf.found("v1")
        change(self.tuf)

    def show(self) -> None:
        """Serves the collection in format tuf."""
        self.docker.server.collections[self.gun] = self.tuf

    def hide(self) -> None:
        """Says that there is none, in the words of the service."""
        self.docker.server.collections = {"other.example/x": self.tuf}

    def freeze(self, until: datetime | None = None) -> None:
        """Serves the last state in format docker."""
        forge = self.docker.honest.forge
        forge.last = True
        if until is not None:
            forge.ends = {"root": until, "targets": until}
            forge.roles["targets"].version += 1
        self.docker.serve(self.docker.honest.publish(root=True))

    def convert(self, *signers: Signer) -> None:
        """As its publisher does it: both sides at once."""
        self.make(*signers)
        self.freeze()
        self.show()

    @property
    def answer(self) -> str:
        """What a verify prints in format tuf."""
        digest = self.tuf.current("targets").targets["v1"].hashes["sha256"]
        return f"{self.ref}@sha256:{digest}\n"

    def follows(self, who: Victim | None = None) -> str:
        """A verify prints what is signed in format tuf; returns what it says besides."""
        done = (who or self.victim)("verify", self.ref)
        assert (done.status, done.out) == (0, self.answer), done.err
        return done.err

    def pinned(self, who: Victim | None = None) -> list[list[str]]:
        """Pattern, format and kind of each pin."""
        lines = (who or self.victim)("pin", "list").out.splitlines()[1:]
        return [line.split(maxsplit=2) for line in lines]


def forget(who: Victim) -> None:
    """Deletes the cache, which anybody may do at any time."""
    shutil.rmtree(who.home / "cache", ignore_errors=True)


def write_policy(who: Victim, gun: str, **members: object) -> Path:
    """A policy with one rule for a GUN."""
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in members.items()]
    path = who.home / "policy.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["version = 1", "[[rule]]", f'pattern = "{gun}"', *lines]) + "\n")
    return path
