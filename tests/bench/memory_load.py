"""What comes to a service in an hour, as fast as it takes it: readers, publishers, engines, whoever makes up names.

Each process has one connection at a time and begins a new one now and then.  What is asked for is chosen by weight,
of all collections alike.  An answer that a request of its kind can't have ends the measurement.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import random
import time
import urllib.parse
from collections import deque
from collections.abc import Callable
from hashlib import sha256

from tests.bench.memory_client import FORM, Client, Surprise, Token
from tests.bench.memory_made import EMPTY, MIDDLE, NAME, OCI, Made, admitted, gun_of, image, is_docker, tags_of
from tests.bench.publishers import BOUNDARY
from tests.service import PASSWORD
from trustkit.core.names import Digest
from trustkit.server.database import DatabaseSource

BLOB = 64 * 1024 * 1024
BLOB_AT = "blobs/large"
FEW = frozenset({"login", "principal", "blob", "catalog"})
"""Kinds that take so long that there is one in so many seconds and not a share of all."""


class Load(Client):
    """One client.

    Args:
        port: where the service listens, with TLS.
        place: which of so many processes this is; it decides about the random numbers.
        database: the URL of the service's database, where that isn't in the folder.
    """

    def __init__(self, made: Made, port: int, place: int, of: int, database: str | None = None) -> None:
        super().__init__(made, port, place)
        self._place = place
        self._publishable = [n for n in range(made.collections) if n % 20 in (2, 3) and n // 20 % of == place]
        self._next: dict[int, int] = {}
        self._pushed: deque[tuple[int, int]] = deque(maxlen=2_000)
        self._database = DatabaseSource(database)
        self._versions: dict[str, int] = {}
        self._people = 0
        self._kinds: dict[str, tuple[float, Callable[[], None]]] = {
            "timestamp": (30, self._timestamp),
            "files": (24, self._files),
            "notary": (16, self._notary),
            "token": (8, self._token),
            "made-up": (8, self._made_up),
            "refused": (6, self._refused),
            "push": (2, self._push),
            "pull": (3, self._pull),
            "publish": (1.5, self._publish),
            "changefeed": (0.5, self._changefeed),
            "tags": (1, self._list_tags),
            "login": (20, self._login),
            "principal": (40, self._principal),
            "catalog": (20, self._catalog),
            "blob": (30, self._blob),
        }

    def run(self, until: float, count: Callable[[str], None]) -> None:
        """Asks until this moment of the monotonic clock; each that is done is counted by its kind."""
        often = {kind: weight for kind, (weight, _) in self._kinds.items() if kind not in FEW}
        due = {kind: time.monotonic() + self._kinds[kind][0] * self._random.random() for kind in FEW}
        while len(self._tokens) < 20:
            self._token()
        while time.monotonic() < until:
            for kind in self._random.choices(list(often), list(often.values()), k=20):
                self._kinds[kind][1]()
                count(kind)
            for kind, moment in due.items():
                if time.monotonic() >= moment:
                    self._kinds[kind][1]()
                    count(kind)
                    due[kind] = time.monotonic() + self._kinds[kind][0]

    def _token(self) -> None:
        many = 1 if self._random.random() < 0.9 else self._random.randrange(2, 20)
        self._new_token([self._random.randrange(self._made.collections) for _ in range(many)])

    def _tuf(self) -> tuple[int, Token]:
        number, token = self._some()
        while is_docker(number):
            number, token = self._some()
        return number, token

    def _timestamp(self) -> None:
        number, token = self._some()
        kind = "tuf" if is_docker(number) else "metadata"
        self._signed(f"/v2/{gun_of(number)}/_trust/{kind}/timestamp.json", token)

    def _files(self) -> None:
        """All that a verifier with a cold cache reads."""
        number, token = self._tuf()
        at = f"/v2/{gun_of(number)}/_trust/metadata"
        self._signed(f"{at}/1.root.json", token)
        self.ask("GET", f"{at}/2.root.json", 404, **self._bearer(token))
        version = self._signed(f"{at}/timestamp.json", token)["meta"]["snapshot.json"]["version"]
        named = self._signed(f"{at}/{version}.snapshot.json", token)["meta"]
        for role in {"targets.json", self._random.choice(list(named))}:
            self._signed(f"{at}/{named[role]['version']}.{role}", token)

    def _notary(self) -> None:
        """All that stock docker reads."""
        number, token = self._some()
        while not is_docker(number):
            number, token = self._some()
        at = f"/v2/{gun_of(number)}/_trust/tuf"
        for role in ("root", "timestamp", "snapshot", "targets"):
            self._signed(f"{at}/{role}.json", token)
        self.ask("GET", f"{at}/targets/releases.json", 404, **self._bearer(token))

    def _made_up(self) -> None:
        """Names that nobody has, by somebody who may ask for every name."""
        name = f"{self._word()}/{self._word()}"
        token = self._for(f"repository:{name}:pull")
        for path in (
            f"{NAME}/{name}/_trust/metadata/timestamp.json",
            f"{NAME}/{name}/_trust/metadata/1.{self._word()}.json",
            f"{NAME}/{name}/_trust/tuf/targets/{self._word()}.json",
            f"{name}/manifests/{self._word()}",
            f"{name}/blobs/sha256:{sha256(name.encode()).hexdigest()}",
        ):
            self.ask("GET", f"/v2/{path}", 403, 404, **self._bearer(token))
        self.ask("GET", f"/v2/{name}/tags/list", **self._bearer(token))  # trust-only, and nothing is signed

    def _refused(self) -> None:
        """Requests of whoever has no login, from wherever they say that they come from."""
        address = ".".join(str(self._random.randrange(1, 255)) for _ in range(4))
        number, token = self._some()
        timestamp = f"/v2/{gun_of(number)}/_trust/metadata/timestamp.json"
        word = self._word()
        wrong = urllib.parse.urlencode({"grant_type": "refresh_token", "refresh_token": word, "service": NAME})
        elsewhere = urllib.parse.urlencode({"grant_type": "refresh_token", "refresh_token": word, "service": word})
        self.ask("GET", timestamp, 401)
        self.ask("GET", timestamp, 401, Authorization=f"Bearer {token.text}{word}")
        self.ask("GET", timestamp, 401, Authorization=f"Bearer {word}.{word}.{word}")
        self.ask("POST", "/oauth2/token", 401, body=wrong.encode(), Content_Type=FORM, X_Forwarded_For=address)
        self.ask("POST", "/oauth2/token", 400, body=elsewhere.encode(), Content_Type=FORM)
        self.ask("GET", f"/v2/{word}%2f{word}/manifests/x", 400, 401, **self._bearer(token))
        self.ask(word.upper()[:9], f"/{word}", 400, 401, 404, 405)
        path = f"/v2/{gun_of(number)}/_trust/metadata"
        self.ask(
            "POST", path, 400, 409, body=word.encode(), **self._bearer(token), Content_Type="multipart/form-data"
        )

    def _push(self) -> None:
        """An image that is signed."""
        number, token = self._some()
        tag = self._random.randrange(min(tags_of(number), MIDDLE))
        made, at = image(number, tag), f"/v2/{gun_of(number).repository}"
        digest = str(Digest.of(EMPTY))
        answer, _ = self.ask("POST", f"{at}/blobs/uploads/", 202, **self._bearer(token), Content_Length="0")
        path = _path(answer.headers["location"])
        self.ask("PUT", f"{path}?digest={digest}", 201, body=EMPTY, **self._bearer(token))
        path = f"{at}/manifests/v{tag}"
        self.ask("PUT", path, 201, body=made.data, **self._bearer(token), Content_Type=OCI)
        self._pushed.append((number, tag))

    def _pull(self) -> None:
        """By tag and by digest, through the gate."""
        if not self._pushed:
            self._push()
        number, tag = self._random.choice(self._pushed)
        token = self._new_token([number])
        at = f"/v2/{gun_of(number).repository}/manifests"
        for reference in (f"v{tag}", image(number, tag).digest):
            self.ask("HEAD", f"{at}/{reference}", **self._bearer(token), Accept=OCI)
            self.ask("GET", f"{at}/{reference}", **self._bearer(token), Accept=OCI)

    def _publish(self) -> None:
        """One more tag in a collection whose uploads were signed beforehand."""
        number = self._random.choice(self._publishable)
        uploads, place = self._uploads(number), self._next.get(number, 0)
        if place == len(uploads):
            self._publishable.remove(number)
            return
        kind = "tuf/" if is_docker(number) else "metadata"
        path, token = f"/v2/{gun_of(number)}/_trust/{kind}", self._new_token([number])
        told = {"Content_Type": f"multipart/form-data; boundary={BOUNDARY}"}
        self.ask("POST", path, body=uploads[place], **self._bearer(token), **told)
        self._next[number] = place + 1

    @functools.cached_property
    def _uploads(self) -> Callable[[int], list[bytes]]:
        return functools.lru_cache(64)(self._made.presigned)

    def _changefeed(self) -> None:
        number, token = self._some()
        self.ask("GET", f"/v2/{gun_of(number)}/_trust/changefeed?records=100", **self._bearer(token))

    def _list_tags(self) -> None:
        number, token = self._some()
        self.ask("GET", f"/v2/{gun_of(number).repository}/tags/list", 200, 404, **self._bearer(token))

    def _catalog(self) -> None:
        token = self._for("registry:catalog:*")
        self.ask("GET", "/v2/_catalog?n=1000", **self._bearer(token))
        self.ask("GET", "/v2/_trust/changefeed?records=1000", **self._bearer(token))

    def _login(self) -> None:
        """By name and password, right and wrong."""
        for name, password, status in (("alice", PASSWORD, 200), (self._word(), self._word(), 401)):
            basic = base64.b64encode(f"{name}:{password}".encode()).decode()
            path = f"/oauth2/token?service={urllib.parse.quote(NAME)}&offline_token=true"
            self.ask("GET", path, status, 429, Authorization=f"Basic {basic}")

    def _principal(self) -> None:
        """Somebody new, by an operator beside the service, who logs in."""
        self._people += 1

        async def add() -> str:
            store = await self._database.of(self._made.data).open()
            try:
                return await admitted(store, f"n{self._place}-{self._people}")
            finally:
                await store.close()

        self._refresh.append(asyncio.run(add()))

    def _blob(self) -> None:
        """A large one, pushed by the first client once, and pulled."""
        token = self._for(f"repository:{BLOB_AT}:pull,push")
        at, digest = f"/v2/{BLOB_AT}/blobs", _digest()
        answer, _ = self.ask("HEAD", f"{at}/{digest}", 200, 404, **self._bearer(token))
        if answer.status == 404:
            answer, _ = self.ask("POST", f"{at}/uploads/", 202, **self._bearer(token), Content_Length="0")
            path = _path(answer.headers["location"])
            self.ask("PUT", f"{path}?digest={digest}", 201, body=_blob(), **self._bearer(token))
        _, said = self.ask("GET", f"{at}/{digest}", **self._bearer(token))
        if len(said) != BLOB:
            raise Surprise(f"a blob of {len(said)} bytes")


@functools.cache
def _blob() -> bytes:
    return random.Random(0).randbytes(BLOB)


@functools.cache
def _digest() -> str:
    return f"sha256:{sha256(_blob()).hexdigest()}"


def _path(location: str) -> str:
    return urllib.parse.urlsplit(location).path
