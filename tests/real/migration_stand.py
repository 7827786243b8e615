"""A real notary-server beside our service, and people who go from the one to the other with what they have."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from pathlib import Path

from tests.formats_docker.stand import NotaryServer
from tests.real.notary_stand import NotaryStand, Someone
from tests.real.test_docker_writes import kit_of
from tests.service import Person


@dataclass(frozen=True)
class There(Someone):
    """Somebody whose clients ask the old server: the same folders, so what is seen here is seen there."""

    url: str = ""
    ca: Path = Path()

    @classmethod
    def of(cls, who: Someone, server: NotaryServer) -> There:
        trusted = who.folder / "docker" / "tls" / f"localhost:{server.port}"
        trusted.mkdir(parents=True, exist_ok=True)
        (trusted / "ca.crt").write_bytes(server.ca.read_bytes())
        return cls(who.name, who.folder, who.stand, server.url, server.ca)

    @property
    def environ(self) -> dict[str, str]:
        return {**Someone(self.name, self.folder, self.stand).environ, "DOCKER_CONTENT_TRUST_SERVER": self.url}

    def notary(self, *arguments: str, feed: str = "", fails: bool = False, folder: str = "notary") -> str:
        where = ("-s", self.url, "--tlscacert", str(self.ca), "-d", str(self.folder / folder))
        done = self.stand.notary_tool(self.environ, *where, *arguments, feed=feed.encode())
        assert (done.status != 0) == fails, done.out + done.err
        return done.out + done.err

    @property
    def here(self) -> Someone:
        """The same person, whose clients ask our service."""
        return Someone(self.name, self.folder, self.stand)


@dataclass(frozen=True)
class MigrationStand:
    """Both servers."""

    stand: NotaryStand
    server: NotaryServer

    def there(self, name: str) -> There:
        return There.of(self.stand.people[name], self.server)

    def machine(self, name: str, folder: Path) -> There:
        """A person on a machine of their own, which has seen nothing."""
        return There.of(replace(self.stand.people[name], folder=folder).logged_in(), self.server)

    def kit(self, who: Someone, folder: Path) -> Person:
        """trustkit in the same hands."""
        made = kit_of(who, folder)
        del made.environ["SSL_CERT_FILE"]  # both authorities have one name; each is known for its host alone
        There.of(who, self.server)
        trusted = who.folder / "docker" / "tls" / self.stand.host
        trusted.mkdir(parents=True, exist_ok=True)
        (trusted / "ca.crt").write_bytes(self.stand.ca.read_bytes())
        return made

    def allow(self, *guns: str) -> None:
        self.stand.admin("allow-migration", *guns)

    def version(self, gun: str, role: str = "root") -> int:
        signed = json.loads(self.server.get(f"/v2/{gun}/_trust/tuf/{role}.json"))["signed"]
        return int(signed["version"])

    @property
    def source(self) -> tuple[str, ...]:
        return "migrate", "from-notary", "--server", self.server.url


def stage(changelist: Path, role: str, tags: dict[str, str], length: int = 500) -> None:
    """What ``notary addhash`` leaves for the next ``publish``, without a process for each tag."""
    changelist.mkdir(parents=True, exist_ok=True)
    for number, (tag, digest) in enumerate(tags.items()):
        hashes = {"sha256": base64.b64encode(bytes.fromhex(digest)).decode()}
        meta = base64.b64encode(json.dumps({"hashes": hashes, "length": length}).encode()).decode()
        change = {"action": "create", "role": role, "type": "target", "path": tag, "data": meta}
        (changelist / f"{number + 1:020d}_{number:08x}-0000-4000-8000-000000000000.change").write_text(
            json.dumps(change)
        )
