"""A trust server of Docker's that lies, a collection in format docker that it should serve, and its victim."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.attacks.evil import TrustServer, Victim, VictimContext, refusal
from tests.formats_docker.forge import Forge, Pair, certified, tags
from tests.remote.conftest import Handler
from tests.service import Result
from trustkit.cli.context import Context
from trustkit.core.names import Gun
from trustkit.remote.notary import HttpNotary
from trustkit.remote.notary import TrustServer as Place
from trustkit.remote.notary_source import NotarySource

_PATH = re.compile(r"/v2/(?P<gun>.+)/_trust/tuf/(?P<name>[^/]+|targets/.+)\Z")

absent = refusal(404, code="METADATA_NOT_FOUND")
"""What Notary's API says of whatever it doesn't have."""


class NotaryServer(TrustServer):
    """As ``TrustServer``, and with the other API: ``served`` has its files by GUN and name."""

    def __init__(self) -> None:
        self.served: dict[str, dict[str, bytes]] = {}
        super().__init__()

    def _answer(self, handler: Handler) -> None:
        if "/_trust/metadata/" in handler.path and self.collections:
            return super()._answer(handler)
        found = _PATH.match(handler.path)
        name = found["name"] if found else handler.path.rpartition("/")[2]
        self.seen.append(name)
        role = re.sub(r"\.[0-9a-f]{64}\.json\Z", ".json", name)
        lie = self.lies.get(name, self.lies.get(role, self.lies.get("*", b"")))
        if callable(lie):
            return lie(handler)
        honest = self.served.get(found["gun"], {}).get(name) if found else None
        data = lie or (honest if lie is not None else None)
        return absent(handler) if data is None else handler.reply(200, data)


@dataclass
class Published:
    """A collection as its publisher keeps it: what is published stays there by hash and by version."""

    gun: Gun
    forge: Forge = field(init=False)
    versions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("root", "snapshot", "timestamp"), 0))
    names: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.forge = Forge(self.gun, versions=self.versions)

    @property
    def root_key(self) -> str:
        """The id that ``docker trust inspect`` shows."""
        return self.forge.signers["root"][0][0].keyid

    def publish(self, *, root: bool = False, **versions: int) -> dict[str, bytes]:
        """The next state; ``versions`` are what an attacker says instead.

        Returns:
            What is served from then on, by name.
        """
        for role in ("snapshot", "timestamp"):
            self.versions[role] += 1
        kept = None if root else self.names.get("root.json")
        self.versions["root"] += kept is None
        self.forge.versions = {**self.versions, **versions}
        files = self.forge.files({} if kept is None else {"root": lambda _: kept})
        self.names = {**self.names, **named(files)}
        self.forge.versions = self.versions
        return self.names

    def release(self, name: str, digest: str, *, role: str = "targets") -> dict[str, bytes]:
        """Signs a tag for a digest, in hex."""
        targets = self.forge.roles[role]
        targets.targets.update(tags(name, digest=digest))
        targets.version += 1
        return self.publish()

    def rotate_root(self, *pairs: Pair, signed_by: tuple[Pair, ...] | None = None) -> dict[str, bytes]:
        """A new root by new root keys; by default the old ones sign it, too."""
        old = self.forge.signers["root"]
        new = list(pairs) or [certified(gun=self.gun)]
        self.forge.signers["root"] = new
        extra = tuple(old) if signed_by is None else signed_by
        self.forge.cosigners = {"root": [*extra]}
        state = self.publish(root=True)
        self.forge.cosigners = {}
        return state


def named(files: dict[str, bytes]) -> dict[str, bytes]:
    """Files by role, as they are asked for."""
    found = {"root.json": files["root"], "timestamp.json": files["timestamp"]}
    version = re.search(rb'"version":([0-9]+)\}', files["root"])
    assert version
    found[f"{int(version[1])}.root.json"] = files["root"]
    for role, data in files.items():
        found[f"{role}.{hashlib.sha256(data).hexdigest()}.json"] = data
    return found


class _Context(VictimContext):
    @cached_property
    def notary_source(self) -> NotarySource:
        metadata = self.home.metadata
        return NotarySource(
            fetcher=HttpNotary(self.sessions, Place).fetcher,
            folder=metadata.locked,
            seen=metadata.seen,
            seen_as_tuf=metadata.seen_as_tuf,
            now=self.now,
            sleep=lambda _: None,
            clock=self._victim.patience,
            reader=lambda: self.readings.docker,
        )


class DockerVictim(Victim):
    """A consumer of collections in format docker."""

    def context(self) -> Context:
        return _Context(self)


@dataclass
class DockerStage:
    """A lying server, the honest collection that it should serve, and a victim that pinned its root key."""

    folder: Path
    server: NotaryServer
    honest: Published
    victim: DockerVictim
    _witnesses: int = field(default=0, init=False)

    @classmethod
    def build(cls, folder: Path, repository: str = "team/app") -> DockerStage:
        server = NotaryServer()
        stage = cls(
            folder,
            server,
            Published(Gun.parse(f"{server.host}/{repository}")),
            DockerVictim(folder / "victim"),
        )
        stage.serve(stage.honest.publish())
        stage.pin(stage.victim, stage.honest.root_key)
        return stage

    @property
    def gun(self) -> Gun:
        return self.honest.gun

    @property
    def ref(self) -> str:
        return f"{self.gun}:v1"

    def serve(self, state: dict[str, bytes]) -> None:
        """Serves this state of the GUN from now on."""
        self.server.served[str(self.gun)] = dict(state)

    def pin(self, who: Victim, *key_ids: str) -> None:
        """Pins the GUN to root keys, in place of what was pinned before."""
        arguments = [word for key_id in key_ids for word in ("--root-key", key_id)]
        done = who("pin", "add", str(self.gun), "--format", "docker", *arguments, "--replace")
        assert done.status == 0, done.err

    def other_victim(self) -> DockerVictim:
        """Somebody else with a new home and the same pin."""
        self._witnesses += 1
        made = DockerVictim(self.folder / f"witness-{self._witnesses}", self.victim.clock)
        self.pin(made, self.honest.root_key)
        return made

    def digest(self, tag: str = "v1") -> str:
        """What the publisher has signed the tag for, in hex."""
        for role in ("targets/releases", "targets"):
            signed = self.honest.forge.roles.get(role)
            if signed is not None and tag in signed.targets:
                return signed.targets[tag].hashes["sha256"]
        raise AssertionError(tag)

    def meet(self, cache: str) -> None:
        """The honest state verifies in a home that is used for nothing else, and warms the victim's where asked."""
        self.trusts(self.other_victim())
        if cache == "warm":
            self.trusts()

    def trusts(self, who: Victim | None = None) -> None:
        """A verify prints the signed digest and nothing else."""
        result = (who or self.victim)("verify", self.ref)
        assert (result.status, result.out) == (0, f"{self.ref}@sha256:{self.digest()}\n"), result.err

    def refuses(self, status: int, slug: str, who: Victim | None = None) -> Result:
        """A verify prints nothing and ends like this."""
        result = (who or self.victim)("verify", self.ref)
        assert (result.status, result.slug, result.out) == (status, slug, ""), result.err
        return result

    def recovers(self) -> None:
        """As soon as the server is honest, the same home verifies again: nothing of the lie stuck."""
        self.server.lies.clear()
        self.serve(self.honest.names)
        self.trusts()
