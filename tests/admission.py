"""Principals of a running service and their logins, made by the service's own use cases in the process of the tests.

What stands in the database and in Docker's configuration afterwards is what ``trustkit admin principal add``,
``trustkit admin role assign`` and ``trustkit login`` leave there, without three processes and three times argon2 for
each person.  Those commands are tested by the tests that are about them.
"""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import http.client
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import argon2

from trustkit.authority.login import REFRESH_LIFE, REFRESH_PREFIX
from trustkit.authority.passwords import Passwords
from trustkit.authority.principals import Operator, Principals
from trustkit.core.access import Assignment, Role
from trustkit.core.names import Host, PrincipalName
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.service import RefreshRecord
from trustkit.home.files import write_atomically
from trustkit.remote.dockerconfig import Credentials, DockerConfig
from trustkit.server.database import DatabaseSource


class _Once(argon2.PasswordHasher):
    """Hashes each password once for each cost; whoever has the same password gets the same hash."""

    _made: ClassVar[dict[tuple[str | bytes, int], str]] = {}

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        if (key := (password, self.memory_cost)) not in self._made:
            self._made[key] = super().hash(password, salt=salt)
        return self._made[key]


def admit(
    data: Path,
    host: str,
    name: str,
    *,
    password: str,
    roles: Iterable[tuple[str, str]],
    docker: Path,
    cost: Mapping[str, int],
) -> None:
    """A principal, logged in.

    Args:
        data: the data folder of the service that listens on ``host``.
        roles: each with the pattern of repositories that it is for.
        docker: the folder of the person's Docker configuration, where the login is kept.
        cost: argon2's terms for the password's hash; whatever isn't among them is as in a service.
    """
    parsed, text = PrincipalName.parse(name), REFRESH_PREFIX + secrets.token_urlsafe(32)
    held = [Assignment(Role.named(role), RepositoryPattern.parse(pattern)) for role, pattern in roles]
    audience = _audience(host)

    async def make() -> None:
        store = await DatabaseSource().of(data).open()
        try:
            operator = Operator(f"operator:{getpass.getuser()}", "local")
            principals = Principals(store, Passwords(_Once(**cost)), operator=operator, clock=_now)
            await principals.add(parsed, password)
            for assignment in held:
                await principals.assign(parsed, assignment)
            async with store.write() as tx:
                record = await tx.identities.get(parsed)
                assert record is not None
                hashed = hashlib.sha256(text.encode("ascii")).digest()
                until = _now() + REFRESH_LIFE
                await tx.identities.add_refresh(RefreshRecord(hashed, parsed, audience, record.epoch, until))
        finally:
            await store.close()

    asyncio.run(make())
    docker.mkdir(parents=True, exist_ok=True)
    credentials = Credentials(name, identity_token=text)
    DockerConfig.load(docker).store(Host.parse(host), credentials, write_atomically)


def _audience(host: str) -> str:
    """What a client that reaches the service by this name asks tokens for."""
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.request("GET", "/v2/")
        answer = connection.getresponse()
        challenge = answer.headers["WWW-Authenticate"]
    finally:
        connection.close()
    found = re.search(r'service="([^"]+)"', challenge)
    assert found, challenge
    return found[1]


def _now() -> datetime:
    return datetime.now(UTC)
