"""A service over TLS, and people with the stock notary and docker command lines."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.formats_docker.stand import tls
from tests.real.parts import Docker, Tool
from tests.service import PASSPHRASE, PASSWORD, Result, RunningService

ROLES = {
    "alice": ("AcrPush", "AcrImageSigner"),
    "olga": ("AcrPush", "AcrImageSigner", "Owner"),
    "bob": ("AcrPush",),
    "carol": ("AcrPull",),
}


@dataclass(frozen=True)
class Answer:
    """What the service answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        (entry,) = self.json["errors"]
        return entry


@dataclass(frozen=True)
class Someone:
    """One person on one machine: a folder for each client, where it keeps keys and what it has seen."""

    name: str
    folder: Path
    stand: NotaryStand

    @property
    def environ(self) -> dict[str, str]:
        auth = base64.b64encode(f"{self.name}:{PASSWORD}".encode()).decode()
        words = ("ROOT", "TARGETS", "SNAPSHOT", "DELEGATION")
        passphrases = {f"NOTARY_{word}_PASSPHRASE": PASSPHRASE for word in words}
        docker = {f"DOCKER_CONTENT_TRUST_{word}_PASSPHRASE": PASSPHRASE for word in ("ROOT", "REPOSITORY")}
        return {
            **passphrases, **docker, "NOTARY_AUTH": auth,
            "DOCKER_CONFIG": str(self.folder / "docker"), "DOCKER_CONTENT_TRUST": "1",
        }  # fmt: skip

    def notary(self, *arguments: str, feed: str = "", fails: bool = False) -> str:
        """What notary printed; it has to fail where that is said, and else not to."""
        where = ("-s", self.stand.url, "--tlscacert", str(self.stand.ca), "-d", str(self.folder / "notary"))
        done = self.stand.notary_tool(self.environ, *where, *arguments, feed=feed.encode())
        assert (done.status != 0) == fails, done.out + done.err
        return done.out + done.err

    def notary_of_docker(self) -> Callable[..., str]:
        """notary with docker's own trust folder, and so with its keys."""
        where = ("-s", self.stand.url, "--tlscacert", str(self.stand.ca), "-d", str(self.folder / "docker" / "trust"))

        def run(*arguments: str) -> str:
            done = self.stand.notary_tool(self.environ, *where, *arguments)
            assert done.status == 0, done.out + done.err
            return done.out + done.err

        return run

    def docker(self, *arguments: str, feed: str = "", fails: bool = False) -> str:
        """What docker printed, with content trust on."""
        done = self.plain(*arguments, feed=feed, environ=self.environ)
        assert (done.status != 0) == fails, done.out + done.err
        return done.out + done.err

    def plain(self, *arguments: str, feed: str = "", environ: dict[str, str] | None = None) -> Result:
        """docker, with content trust off."""
        used = environ or {**self.environ, "DOCKER_CONTENT_TRUST": "0"}
        return self.stand.docker(used, *arguments, feed=feed.encode())

    def logged_in(self) -> Someone:
        """After ``docker login``, with the service's certificate where docker looks for it."""
        trusted = self.folder / "docker" / "tls" / self.stand.host
        trusted.mkdir(parents=True)
        (trusted / "ca.crt").write_bytes(self.stand.ca.read_bytes())
        self.docker("login", "-u", self.name, "--password-stdin", self.stand.host, feed=PASSWORD)
        return self

    def elsewhere(self) -> Someone:
        """The same person on another machine, where nothing was seen yet."""
        return Someone(self.name, self.folder / "elsewhere", self.stand)

    def listed(self, gun: str) -> dict[str, str]:
        """By target the role, as ``notary list`` shows them."""
        rows = [line.split() for line in self.notary("list", gun).splitlines()]
        return {row[0]: row[3] for row in rows if len(row) == 4 and len(row[1]) == 64}


@dataclass
class NotaryStand:
    """The service, its people, and requests of any other kind."""

    service: RunningService
    ca: Path
    docker: Docker
    notary_tool: Tool
    folder: Path
    people: dict[str, Someone] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, docker: Docker, notary_tool: Tool) -> NotaryStand:
        certificate, key = tls(folder)
        service = RunningService(folder, "--tls-cert", str(certificate), "--tls-key", str(key)).start()
        stand = cls(service, certificate, docker, notary_tool, folder)
        for name, roles in ROLES.items():
            stand.admin("principal", "add", name, "--password-stdin", feed=PASSWORD)
            for role in roles:
                stand.admin("role", "assign", name, role, "--repository", "*")
            stand.people[name] = Someone(name, folder / "people" / name, stand).logged_in()
        return stand

    @property
    def host(self) -> str:
        return f"localhost:{self.service.port}"

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    def gun(self, name: str) -> str:
        return f"{self.host}/{name}"

    def admin(self, *arguments: str, feed: str = "") -> str:
        done = self.service.admin(*arguments, feed=feed)
        assert done.status == 0, done.err
        return done.out

    def ask(
        self, method: str, path: str, *, token: str = "", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """One request, by nobody unless there is a token."""
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection("localhost", self.service.port, timeout=30, context=context)
        sent = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            connection.request(method, path, body=body or None, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def token(self, name: str, *scopes: str) -> str:
        auth = base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()
        query = "&".join([f"service=127.0.0.1:{self.service.port}", *(f"scope={scope}" for scope in scopes)])
        answer = self.ask("GET", f"/oauth2/token?{query}", headers={"Authorization": f"Basic {auth}"})
        assert answer.status == 200, answer.body
        return str(answer.json["token"])


def upload(*parts: tuple[str, bytes], cut: int = 0, edit: Callable[[bytes], bytes] = bytes) -> tuple[bytes, str]:
    """A multipart body as Go's client sends it, and its Content-Type."""
    text = b"".join(
        b'--xyz\r\nContent-Disposition: form-data; name="files"; filename="' + role.encode()
        + b'"\r\nContent-Type: application/octet-stream\r\n\r\n' + data + b"\r\n"
        for role, data in parts
    ) + b"--xyz--\r\n"  # fmt: skip
    body = edit(text)
    return body[: len(body) - cut], "multipart/form-data; boundary=xyz"
