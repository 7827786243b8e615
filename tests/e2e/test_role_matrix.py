"""Every role times every operation over HTTP, against one running service: one table, and how fast it changes."""

from __future__ import annotations

import asyncio
import base64
import http.client
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlencode

import argon2
import pytest
from securesystemslib.signer import Key

from tests.service import PASSWORD, RunningService
from tests.simulator import Publisher
from trustkit.authority.passwords import Passwords
from trustkit.authority.principals import Operator, Principals
from trustkit.core.access import GRANTS, Assignment, Operation, Role, missing_roles
from trustkit.core.manifests import OCI_MANIFEST
from trustkit.core.names import Digest, Gun, PrincipalName
from trustkit.core.patterns import RepositoryPattern
from trustkit.store.database import SqlStore

APP = "matrix/app"
WORDS = "pull,push,delete,sign"
CONFIG, LAYER = b'{"architecture":"amd64","os":"linux"}', b"a layer"
BOUNDARY = "a-boundary-of-these-tests"

OPERATIONS = [
    "read trust", "online keys", "publish", "registry view", "pull", "pull blob", "list tags", "referrers",
    "push blob", "mount", "push manifest", "delete manifest", "delete blob",
]  # fmt: skip

TABLE = """
                             trust keys publ view pull blob tags refs pushb mount pushm delm delb
nobody                       .     .    .    .    .    .    .    .    .     .     .     .    .
none                         .     .    .    .    .    .    .    .    .     .     .     .    .
disabled                     .     .    .    .    .    .    .    .    .     .     .     .    .
elsewhere                    .     .    .    .    .    .    .    .    .     .     .     .    .
AcrPull                      x     .    .    .    x    x    x    x    .     .     .     .    .
AcrPush                      x     .    .    .    x    x    x    x    x     x     x     .    .
AcrDelete                    .     .    .    .    .    .    .    .    .     .     .     x    x
AcrImageSigner               .     .    .    .    .    .    .    .    .     .     .     .    .
Reader                       x     .    .    .    x    x    x    x    .     .     .     .    .
Contributor                  x     .    .    .    x    x    x    x    x     x     x     x    x
Owner                        x     .    .    .    x    x    x    x    x     x     x     x    x
AcrPull+AcrImageSigner       x     .    .    x    x    x    x    x    .     .     .     .    .
AcrPush+AcrImageSigner       x     x    x    x    x    x    x    x    x     x     x     .    .
AcrDelete+AcrImageSigner     .     .    .    .    .    .    .    .    .     .     .     x    x
Reader+AcrImageSigner        x     .    .    x    x    x    x    x    .     .     .     .    .
Contributor+AcrImageSigner   x     x    x    x    x    x    x    x    x     x     x     x    x
Owner+AcrImageSigner         x     x    x    x    x    x    x    x    x     x     x     x    x
"""
"""Who (one line each) may do what (``x``); the columns are OPERATIONS."""

ROWS = {words[0]: words[1:] for words in (line.split() for line in TABLE.strip().splitlines()[1:])}
CASES = [
    pytest.param(who, operation, cell == "x", id=f"{who}-{operation}")
    for who, cells in ROWS.items()
    for operation, cell in zip(OPERATIONS, cells, strict=True)
]


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def detail(self) -> dict[str, object]:
        return dict(json.loads(self.body)["errors"][0]["detail"] or {})


@dataclass
class Caller:
    """Somebody with a token; None is nobody."""

    port: int
    token: str | None = None

    def __call__(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            sent["authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
        finally:
            connection.close()


@dataclass
class Matrix:
    """The service, somebody for each row, and things to do it to."""

    service: RunningService
    callers: dict[str, Caller] = field(default_factory=dict)
    manifest: bytes = b""
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def admin(self) -> Caller:
        return self.callers["Owner+AcrImageSigner"]

    @property
    def gun(self) -> Gun:
        return Gun.parse(f"{self.service.host}/{APP}")

    def upload(self, blob: bytes, caller: Caller | None = None) -> Reply:
        path = f"/v2/{APP}/blobs/uploads/?digest={Digest.of(blob)}"
        return (caller or self.admin)("POST", path, blob)

    def image(self, *, store: bool = True) -> bytes:
        """A manifest that no other call gives, pushed by digest."""
        data = image_manifest(f"number {next(self.numbers)}")
        if store:
            reply = self.admin("PUT", f"/v2/{APP}/manifests/{Digest.of(data)}", data, content_type=OCI_MANIFEST)
            assert reply.status == 201, reply.body
        return data


def image_manifest(note: str) -> bytes:
    def descriptor(data: bytes, kind: str) -> dict[str, object]:
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": str(Digest.of(data)), "size": len(data)}

    value = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(CONFIG, "config.v1+json"),
        "layers": [descriptor(LAYER, "layer.v1.tar")],
        "annotations": {"note": note},
    }
    return json.dumps(value).encode()


async def add_people(service: RunningService) -> None:
    """Everybody of the table, as ``admin`` adds them but in one process and with a cheap argon2."""
    store = await SqlStore.open(service.data / "trustkit.db")
    cheap = Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    principals = Principals(
        store, cheap, operator=Operator("operator:test", "local"), clock=partial(datetime.now, UTC)
    )
    for row in ROWS:
        if row == "nobody":
            continue
        name = name_of(row)
        await principals.add(name, PASSWORD)
        pattern = RepositoryPattern.parse("matrix2/*" if row == "elsewhere" else "matrix/*")
        roles = {"none": [], "disabled": list(Role), "elsewhere": list(Role)}.get(row)
        for role in roles if roles is not None else map(Role, row.split("+")):
            await principals.assign(name, Assignment(role, pattern))
    await store.close()


def name_of(row: str) -> PrincipalName:
    return PrincipalName.parse(row.lower().replace("+", "-"))


def token(service: RunningService, name: str, scope: str = f"repository:{APP}:{WORDS}") -> str:
    basic = base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()
    query = urlencode({"service": service.host, "scope": scope})
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.request("GET", f"/oauth2/token?{query}", headers={"authorization": f"Basic {basic}"})
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    assert reply.status == 200, body
    return str(json.loads(body)["token"])


@pytest.fixture(scope="module")
def matrix(service: RunningService) -> Matrix:
    asyncio.run(add_people(service))
    made = Matrix(service)
    for row in ROWS:
        made.callers[row] = Caller(service.port, None if row == "nobody" else token(service, str(name_of(row))))
    assert service.admin("principal", "disable", "disabled").status == 0
    for blob in (CONFIG, LAYER):
        assert made.upload(blob).status == 201
    made.manifest = made.image()
    tagged = made.admin("PUT", f"/v2/{APP}/manifests/v1", made.manifest, content_type=OCI_MANIFEST)
    assert tagged.status == 201
    assert publish(made.admin, made.gun, keys_for=made.admin).status == 200
    return made


def publish(caller: Caller, gun: Gun, *, keys_for: Caller) -> Reply:
    """Founds a collection, signed with keys of its own, as ``trustkit init`` would.

    Args:
        keys_for: who fetches the online keys that the root has to name, so that only the publish itself is judged.
    """
    online = json.loads(keys_for("GET", f"/v2/{gun}/_trust/online-keys").body)
    keys = {role: Key.from_dict(value.pop("keyid"), value) for role, value in online.items()}
    publisher = Publisher(gun)
    publisher.__class__ = type("Bound", (Publisher,), {"online": property(lambda _: keys)})
    parts = b""
    for role, data in publisher.first_upload(now=datetime.now(UTC).replace(microsecond=0)).items():
        head = f'Content-Disposition: form-data; name="files"; filename="{role}.json"'
        parts += f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + data + b"\r\n"
    parts += f"--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return caller("POST", f"/v2/{gun}/_trust/metadata", parts, content_type=kind)


def publish_anew(matrix: Matrix, caller: Caller) -> Reply:
    """To a repository without a collection, each with a token for that very repository."""
    gun = Gun.parse(f"{matrix.service.host}/matrix/new{next(matrix.numbers)}")
    row = next(row for row, known in matrix.callers.items() if known is caller)
    admin = caller_for(matrix, "Owner+AcrImageSigner", gun)
    reply = publish(caller_for(matrix, row, gun), gun, keys_for=admin)
    there = admin("GET", f"/v2/{gun}/_trust/metadata/timestamp.json").status
    assert there == (200 if reply.status == 200 else 404)
    return reply


def caller_for(matrix: Matrix, row: str, gun: Gun) -> Caller:
    """The row's somebody, with a token for this repository where one can be had."""
    if row in ("nobody", "disabled"):
        return matrix.callers[row]
    scope = f"repository:{gun.repository}:{WORDS}"
    return Caller(matrix.service.port, token(matrix.service, str(name_of(row)), scope))


def delete_manifest(matrix: Matrix, caller: Caller) -> Reply:
    digest = Digest.of(matrix.image())
    reply = caller("DELETE", f"/v2/{APP}/manifests/{digest}")
    there = matrix.admin("HEAD", f"/v2/{APP}/manifests/{digest}").status
    assert there == (404 if reply.status == 202 else 200)
    return reply


def delete_blob(matrix: Matrix, caller: Caller) -> Reply:
    blob = f"blob {next(matrix.numbers)}".encode()
    assert matrix.upload(blob).status == 201
    reply = caller("DELETE", f"/v2/{APP}/blobs/{Digest.of(blob)}")
    there = matrix.admin("HEAD", f"/v2/{APP}/blobs/{Digest.of(blob)}").status
    assert there == (404 if reply.status == 202 else 200)
    return reply


def push_blob(matrix: Matrix, caller: Caller) -> Reply:
    blob = f"blob {next(matrix.numbers)}".encode()
    reply = matrix.upload(blob, caller)
    there = matrix.admin("HEAD", f"/v2/{APP}/blobs/{Digest.of(blob)}").status
    assert there == (200 if reply.status == 201 else 404)
    return reply


def push_manifest(matrix: Matrix, caller: Caller) -> Reply:
    data = matrix.image(store=False)
    tag = f"t{next(matrix.numbers)}"
    reply = caller("PUT", f"/v2/{APP}/manifests/{tag}", data, content_type=OCI_MANIFEST)
    there = matrix.admin("HEAD", f"/v2/{APP}/manifests/{tag}").status
    assert there == (200 if reply.status == 201 else 404)
    return reply


def mount(matrix: Matrix, caller: Caller) -> Reply:
    return caller("POST", f"/v2/{APP}/blobs/uploads/?mount={Digest.of(LAYER)}&from={APP}")


Do = Callable[[Matrix, Caller], Reply]
DO: dict[str, tuple[Do, int, Operation, int]] = {
    "read trust": (
        lambda m, c: c("GET", f"/v2/{m.gun}/_trust/metadata/timestamp.json"), 200, Operation.READ_TRUST, 403,
    ),
    "online keys": (lambda m, c: c("GET", f"/v2/{m.gun}/_trust/online-keys"), 200, Operation.PUBLISH, 403),
    "publish": (publish_anew, 200, Operation.PUBLISH, 403),
    "registry view": (
        lambda m, c: c("GET", f"/v2/{APP}/manifests/v1", trustkit_view="registry"), 200, Operation.REGISTRY_VIEW, 401,
    ),
    "pull": (lambda m, c: c("GET", f"/v2/{APP}/manifests/v1"), 200, Operation.PULL_IMAGE, 401),
    "pull blob": (lambda m, c: c("GET", f"/v2/{APP}/blobs/{Digest.of(LAYER)}"), 200, Operation.PULL_IMAGE, 401),
    "list tags": (lambda m, c: c("GET", f"/v2/{APP}/tags/list"), 200, Operation.PULL_IMAGE, 401),
    "referrers": (
        lambda m, c: c("GET", f"/v2/{APP}/referrers/{Digest.of(m.manifest)}"), 200, Operation.PULL_IMAGE, 401,
    ),
    "push blob": (push_blob, 201, Operation.PUSH_IMAGE, 401),
    "mount": (mount, 201, Operation.PUSH_IMAGE, 401),
    "push manifest": (push_manifest, 201, Operation.PUSH_IMAGE, 401),
    "delete manifest": (delete_manifest, 202, Operation.DELETE_IMAGE, 401),
    "delete blob": (delete_blob, 202, Operation.DELETE_IMAGE, 401),
}  # fmt: skip
"""How an operation is done, what it answers when it is, what it takes, and the status of a missing role."""


def test_the_table_has_every_role_and_every_operation() -> None:
    assert {role.value for role in Role} <= set(ROWS)
    assert set(DO) == set(OPERATIONS)
    assert {operation for _, _, operation, _ in DO.values()} == set(Operation) - {Operation.RESET_COLLECTION}


@pytest.mark.parametrize(("who", "operation", "allowed"), CASES)
def test_role_matrix(matrix: Matrix, who: str, operation: str, allowed: bool) -> None:
    do, done, takes, refused = DO[operation]
    reply = do(matrix, matrix.callers[who])
    if allowed:
        assert reply.status == done, reply.body
        return
    logged_in = who not in ("nobody", "disabled")
    assert reply.status == (refused if logged_in else 401), reply.body
    if not logged_in:
        assert reply.headers["www-authenticate"].startswith("Bearer realm=")
    if who == "disabled":
        assert reply.detail["slug"] == "login-required"
    if logged_in:
        assert reply.detail["slug"] == "role-missing"
        held = {Role(name) for name in who.split("+")} if who.startswith(("Acr", "R", "C", "O")) else set()
        assert reply.detail["missing"] == [role.value for role in missing(held, takes)]


def missing(held: set[Role], takes: Operation) -> tuple[Role, ...]:
    return missing_roles(frozenset().union(*(GRANTS[role] for role in held)), takes)


# Changes beside the running service


def within_a_second(attempt: Callable[[], int], wanted: int) -> None:
    """Holds that ``attempt`` gives ``wanted`` when a second has passed; sooner is as good."""
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        if attempt() == wanted:
            return
        time.sleep(0.02)
    assert attempt() == wanted


CHANGES = [
    pytest.param(("role", "revoke", "{}", "AcrPush", "--repository", "matrix/*"), 403, id="role revoked"),
    pytest.param(("principal", "disable", "{}"), 401, id="disabled"),
    pytest.param(("principal", "remove", "{}"), 401, id="removed"),
]


@pytest.mark.parametrize(("change", "refused"), CHANGES)
def test_a_token_from_before_a_change_gives_no_more_than_the_roles_after_it(
    matrix: Matrix, change: tuple[str, ...], refused: int
) -> None:
    service, name = matrix.service, f"eve{next(matrix.numbers)}"
    assert service.admin("principal", "add", name, "--password-stdin", feed=PASSWORD).status == 0
    assert service.admin("role", "assign", name, "AcrPush", "--repository", "matrix/*").status == 0
    eve = Caller(service.port, token(service, name))
    assert eve("GET", f"/v2/{APP}/manifests/v1").status == 200
    assert push_blob(matrix, eve).status == 201
    assert service.admin(*(word.format(name) for word in change)).status == 0
    within_a_second(lambda: eve("GET", f"/v2/{APP}/manifests/v1").status, 401)
    assert push_blob(matrix, eve).status == 401
    assert eve("GET", f"/v2/{matrix.gun}/_trust/metadata/timestamp.json").status == refused


def test_a_token_from_before_a_role_was_given_is_an_upper_bound_and_a_new_one_has_it(matrix: Matrix) -> None:
    service, name = matrix.service, f"dan{next(matrix.numbers)}"
    assert service.admin("principal", "add", name, "--password-stdin", feed=PASSWORD).status == 0
    assert service.admin("role", "assign", name, "AcrPull").status == 0
    before = Caller(service.port, token(service, name))
    assert push_blob(matrix, before).status == 401
    assert service.admin("role", "assign", name, "AcrPush").status == 0
    after = Caller(service.port, token(service, name))
    within_a_second(lambda: push_blob(matrix, after).status, 201)
    assert push_blob(matrix, before).status == 401, "the old token never said push"


def test_trust_only_and_the_switch_follow_within_a_second(matrix: Matrix) -> None:
    service, puller = matrix.service, matrix.callers["AcrPull"]

    def pull() -> int:
        return puller("GET", f"/v2/{APP}/manifests/v1").status

    def read() -> int:
        return puller("GET", f"/v2/{matrix.gun}/_trust/metadata/timestamp.json").status

    assert pull() == 200
    assert service.admin("repository", "set", APP, "--trust-only").status == 0
    within_a_second(pull, 403)
    assert service.admin("repository", "set", APP, "--no-trust-only").status == 0
    within_a_second(pull, 200)
    assert service.admin("policy", "set", "content-trust", "disabled").status == 0
    within_a_second(read, 403)
    assert service.admin("policy", "set", "content-trust", "enabled").status == 0
    within_a_second(read, 200)
