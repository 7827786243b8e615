"""A trust server that lies, its victim with the real client, and an insider who posts to the real service."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from tests.attacks.victims import Reply, ask
from tests.remote.conftest import Handler, Server
from tests.service import Person, Result, RunningService
from tests.simulator import Publisher, make_signer, manifest
from trustkit.cli.app import report, run
from trustkit.cli.context import Context
from trustkit.cli.status import exit_status
from trustkit.core.build import next_timestamp
from trustkit.core.formats.tuf1 import meta_name, read, sign
from trustkit.core.judge import Accepted
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Gun, Host
from trustkit.core.ports.images import ManifestBytes
from trustkit.errors import TrustkitError
from trustkit.remote.http import HttpClient, Limits
from trustkit.remote.updater import UpdaterSource

ROLES = ("root", "timestamp", "snapshot", "targets")
KINDS: Mapping[str, type[Any]] = {"root": Root, "timestamp": Timestamp, "snapshot": Snapshot, "targets": Targets}
LIFE = Lifetimes().default
_PATH = re.compile(r"/v2/(.+)/_trust/(?:metadata/)?([^/]+)\Z")
_VERSIONED = re.compile(r"([0-9]+)\.([a-z]+)\.json\Z")

Lie = bytes | None | Callable[[Handler], None]
"""What stands in a file's place: other bytes, nothing at all, or whatever a function does to the connection."""

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)


def now() -> datetime:
    """The real now, in the whole seconds that metadata has."""
    return datetime.now(UTC).replace(microsecond=0)


def refusal(status: int, slug: str = "", *, code: str = "X") -> Callable[[Handler], None]:
    """An answer with an OCI error body; with our slug where there is one."""
    detail = {"slug": slug} if slug else {}
    body = json.dumps({"errors": [{"code": code, "message": "said the server", "detail": detail}]}).encode()
    return lambda handler: handler.reply(status, body, Content_Type="application/json")


class Collection(Publisher):
    """A simulated collection at a moment of its own: the real now, unless a test turns it."""

    def __init__(self, gun: Gun, **keys: Signer) -> None:
        super().__init__(gun, **keys)
        self.moment = now()

    def found(self, *tags: str) -> None:
        """The first version, with these tags signed."""
        self.accept(self.first_upload(*tags, now=self.moment), self.moment)

    def release(self, tag: str, image: ManifestBytes) -> None:
        """One more version of targets, snapshot and timestamp."""
        self.accept(self.sign_upload(tag, image, self.moment), self.moment)

    def rotate(self, change: Callable[[Root], None], *signers: Signer) -> None:
        """One more root, unjudged; targets stay, and are signed again by the repository key of now."""
        self.install(self.change_root(change, *signers), self.moment)

    def rotate_online(self, *roles: str) -> None:
        """New keys for these of the online roles; versions go on."""
        old = {role: self.signer(role).public_key.keyid for role in roles}
        for role in roles:
            setattr(self, role, make_signer())

        def change(root: Root) -> None:
            for role, key_id in old.items():
                root.revoke_key(key_id, role)
                root.add_key(self.signer(role).public_key, role)

        self.rotate(change)

    def as_now(self) -> Collection:
        """The state of this moment, which later changes leave as it is; the keys are the same."""
        kept = copy(self)
        kept.files, kept.history = dict(self.files), dict(self.history)
        return kept

    def renew(self) -> None:
        """A new snapshot and timestamp, as the service makes them when the old ones grow old."""
        self.install({}, self.moment)

    def renew_timestamp(self) -> None:
        """A new timestamp alone."""
        timestamp = self.current("timestamp")
        following = next_timestamp(
            self.gun, timestamp, timestamp.snapshot_meta.version, now=self.moment, life=LIFE["timestamp"]
        )
        self.put(following, self.timestamp)

    def current(self, role: str) -> Any:
        """The payload that is served now, to be changed."""
        return read(self.files[role], KINDS[role]).signed

    def put(self, signed: Root | Timestamp | Snapshot | Targets, *signers: Signer) -> None:
        """Serves a payload, signed by whoever is named, and remembers it as its version."""
        data = self.by(signed, *signers)
        self.files[signed.type] = self.history[signed.type, signed.version] = data

    def by(self, signed: S, *signers: Signer) -> bytes:
        """A payload signed by whoever is named."""
        return sign(signed, self.signed(*signers))

    def forge_online(self, *, snapshot: int, timestamp: int, targets: int | None = None) -> None:
        """What a thief of the online keys can make: any versions of snapshot and timestamp, naming any targets."""
        listed: Snapshot = self.current("snapshot")
        listed.version = snapshot
        listed.expires = self.moment + LIFE["snapshot"]
        if targets is not None:
            listed.meta[meta_name("targets")] = MetaFile(targets)
        moment: Timestamp = self.current("timestamp")
        moment.version, moment.snapshot_meta = timestamp, MetaFile(snapshot)
        moment.expires = self.moment + LIFE["timestamp"]
        self.put(listed, self.snapshot)
        self.put(moment, self.timestamp)

    def signer(self, role: str) -> Signer:
        """The key of a role."""
        named = {"root": self.root, "targets": self.repository}
        return named[role] if role in named else {"snapshot": self.snapshot, "timestamp": self.timestamp}[role]

    def name(self, role: str) -> str:
        """The file name under which the current version of a role is asked for."""
        return "timestamp.json" if role == "timestamp" else f"{self.current(role).version}.{role}.json"


class _Handler(Handler):
    disable_nagle_algorithm = True  # an answer in two writes would wait 40 ms for the client's acknowledgement


class TrustServer:
    """A trust service on a port of loopback that serves collections, and lies where it is told to.

    Attributes:
        collections: what is served, by GUN.
        lies: by the last part of the path, such as ``2.root.json``, what is served there; ``*`` is everything.
        seen: the file names that were asked for.
    """

    def __init__(self) -> None:
        self.collections: dict[str, Publisher] = {}
        self.lies: dict[str, Lie] = {}
        self.seen: list[str] = []
        self.port = 0
        self.open()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def open(self) -> None:
        """Listens, on the same port as before."""
        self._server = Server(("127.0.0.1", self.port), _Handler)
        self._server.answer, self._server.seen = self._answer, []
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Listens no more."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: Handler) -> None:
        found = _PATH.match(handler.path)
        if found is None:
            return handler.reply(200, b"{}")
        self.seen.append(found[2])
        lie = self.lies[found[2]] if found[2] in self.lies else self.lies.get("*", b"")
        if callable(lie):
            return lie(handler)
        collection = self.collections.get(found[1])
        if collection is None and lie == b"":
            return refusal(404, "no-collection")(handler)
        data = lie or (_file(collection, found[2]) if collection and lie is not None else None)
        if data is None:
            return refusal(404, "not-found")(handler)
        return handler.reply(200, data, Content_Type="application/json")


def _file(collection: Publisher, name: str) -> bytes | None:
    if name == "timestamp.json":
        return collection.files["timestamp"]
    found = _VERSIONED.match(name)
    return collection.history.get((found[2], int(found[1]))) if found else None


class _Context(Context):
    """The command line's own wiring; only its clock, its deadlines and its patience are the test's."""

    def __init__(self, home: Path, clock: Callable[[], datetime], limits: Limits | None, *, patient: bool) -> None:
        super().__init__(home_flag=str(home), environ={"HOME": str(home)})
        self.now = clock  # type: ignore[method-assign]  # the seam that a test turns time by
        self._limits = limits
        self._patient = patient

    def http(self, host: Host) -> HttpClient:
        return HttpClient(host, environ=self.environ, limits=self._limits)

    @cached_property
    def source(self) -> UpdaterSource:
        patience: dict[str, Any] = {} if self._patient else {"sleep": lambda seconds: None}
        metadata = self.home.metadata
        return UpdaterSource(fetcher=self._fetcher, folder=metadata.locked, seen=metadata.seen, **patience)


@dataclass
class Victim:
    """A consumer with a home of its own; calling it runs a real command line in this process.

    Attributes:
        clock: what it takes for now.
        limits: its deadlines; the real ones where None.
        patient: whether it really waits between tries at a replica that lags.
    """

    folder: Path
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    limits: Limits | None = None
    patient: bool = False

    def __call__(self, *arguments: str) -> Result:
        context = _Context(self.folder / "trustkit", self.clock, self.limits, patient=self.patient)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                status = run(list(arguments), context)
            except TrustkitError as error:
                report(error)
                status = exit_status(error)
        return Result(status, out.getvalue(), err.getvalue())

    def as_process(self, *arguments: str) -> Result:
        """The same command line as a process of its own, over the same home."""
        return Person("victim", self.folder)(*arguments)


@dataclass
class Stage:
    """A lying server, the honest collection that it should serve, and a victim that pinned its root.

    ``v1`` is signed; the image that it is signed for is ``manifest("v1")``.
    """

    folder: Path
    server: TrustServer
    honest: Collection
    victim: Victim
    _witnesses: int = field(default=0, init=False)

    @classmethod
    def build(cls, folder: Path, repository: str = "team/app") -> Stage:
        server = TrustServer()
        gun = Gun.parse(f"{server.host}/{repository}")
        stage = cls(folder, server, Collection(gun), Victim(folder / "victim"))
        stage.honest.found("v1")
        server.collections[str(gun)] = stage.honest
        stage.pin(stage.victim, stage.honest.root)
        return stage

    @property
    def gun(self) -> Gun:
        return self.honest.gun

    @property
    def ref(self) -> str:
        return f"{self.gun}:v1"

    @property
    def trusted(self) -> str:
        """What a verify prints while the collection is honestly served."""
        return f"{self.ref}@sha256:{self.honest.current('targets').targets['v1'].hashes['sha256']}\n"

    def pin(self, who: Victim, *roots: Signer, threshold: int = 0) -> None:
        """Pins the GUN to root keys, in place of what was pinned before."""
        arguments = [word for root in roots for word in ("--root-key", root.public_key.keyid)]
        if threshold:
            arguments += ["--threshold", str(threshold)]
        done = who("pin", "add", str(self.gun), *arguments, "--replace")
        assert done.status == 0, done.err

    def pin_file(self, who: Victim, root: bytes) -> None:
        """Pins the GUN to a root file."""
        file = self.folder / "pinned.json"
        file.write_bytes(root)
        done = who("pin", "add", str(self.gun), "--root", str(file), "--replace")
        assert done.status == 0, done.err

    def other_victim(self) -> Victim:
        """Somebody else with a new home and the same pin."""
        self._witnesses += 1
        made = Victim(self.folder / f"witness-{self._witnesses}", self.victim.clock)
        self.pin(made, self.honest.root)
        return made

    def meet(self, cache: str) -> None:
        """The honest state verifies in a home that is used for nothing else, and warms the victim's where asked."""
        self.trusts(self.other_victim())
        if cache == "warm":
            self.trusts(self.victim)

    def trusts(self, who: Victim | None = None) -> None:
        """A verify prints the signed digest and nothing else."""
        result = (who or self.victim)("verify", self.ref)
        assert (result.status, result.out) == (0, self.trusted), result.err

    def refuses(self, status: int, slug: str, who: Victim | None = None) -> Result:
        """A verify prints nothing and ends like this."""
        result = (who or self.victim)("verify", self.ref)
        assert (result.status, result.slug, result.out) == (status, slug, ""), result.err
        return result

    def recovers(self) -> None:
        """As soon as the server is honest, the same home verifies again: nothing of the lie stuck."""
        self.server.lies.clear()
        self.server.collections = {str(self.gun): self.honest}
        self.trusts()


class Insider(Publisher):
    """Somebody whose token may publish, with keys, who posts to a running service whatever is made here."""

    def __init__(self, service: RunningService, person: Person, path: str, **keys: Signer) -> None:
        super().__init__(Gun.parse(f"{service.host}/{path}"), **keys)
        self.service = service
        self._token = person.token(service.host, f"repository:{path}:pull,push,sign")

    @cached_property
    def online(self) -> dict[str, Key]:  # type: ignore[override]  # the service's keys, not a simulated one's
        answer = self._ask("GET", "online-keys")
        assert answer.status == 200, answer.body
        return {role: Key.from_dict(value.pop("keyid"), value) for role, value in answer.json.items()}

    def post(self, upload: Mapping[str, bytes]) -> Reply:
        """Uploads these files in one request; what is taken becomes what later uploads follow."""
        parts = [("files", (f"{role}.json", data, "application/json")) for role, data in upload.items()]
        body, kind = urllib3.encode_multipart_formdata(parts)
        reply = self._ask("POST", "metadata", body, content_type=kind)
        if reply.status == 200:
            for role, data in upload.items():
                self.files[role] = self.history[role, json.loads(data)["signed"]["version"]] = data
        return reply

    def served(self) -> dict[str, tuple[int, bytes]]:
        """What the service serves now: version and bytes of each role."""
        timestamp = self._ask("GET", "metadata/timestamp.json")
        if timestamp.slug == "no-collection":
            return {}
        files = {"timestamp": timestamp.body}
        version = _signed(files["timestamp"])["meta"]["snapshot.json"]["version"]
        files["snapshot"] = self._ask("GET", f"metadata/{version}.snapshot.json").body
        version = _signed(files["snapshot"])["meta"]["targets.json"]["version"]
        files["targets"] = self._ask("GET", f"metadata/{version}.targets.json").body
        version = 1
        while (root := self._ask("GET", f"metadata/{version}.root.json")).status == 200:
            files["root"], version = root.body, version + 1
        return {role: (_signed(data)["version"], data) for role, data in files.items()}

    def found(self, *tags: str) -> None:
        """The first version, taken by the service."""
        reply = self.post(self.first_upload(*tags, now=now()))
        assert reply.status == 200, reply.body

    def release(self, tag: str, text: str = "") -> dict[str, bytes]:
        """An upload that signs one more image; not yet posted."""
        return self.sign_upload(tag, manifest(text or tag), now())

    def refused(self, upload: Mapping[str, bytes], status: int, slug: str) -> Reply:
        """The service refuses an upload with this status and slug, and nothing that it serves has moved."""
        before = self.served()
        reply = self.post(upload)
        assert (reply.status, reply.slug) == (status, slug), reply.body
        assert self.served() == before
        return reply

    def taken(self, upload: Mapping[str, bytes]) -> None:
        """The service takes an upload: what it refused before, it refused for what was wrong with it."""
        reply = self.post(upload)
        assert reply.status == 200, reply.body

    def accept(self, upload: dict[str, bytes], now: datetime | None = None) -> Accepted:
        raise NotImplementedError("the service judges, not the simulator")

    def _ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        return ask(self.service.host, method, f"/v2/{self.gun}/_trust/{path}", body, token=self._token, **headers)


def _signed(data: bytes) -> dict[str, Any]:
    return dict(json.loads(data)["signed"])


def reread(data: bytes, role: str) -> Metadata[Any]:
    """A file as python-tuf has it, signatures included."""
    metadata: Metadata[Any] = read(data, KINDS[role])
    return metadata


def later(**delta: float) -> Callable[[], datetime]:
    """A clock that is ahead of the real one."""
    return lambda: datetime.now(UTC) + timedelta(**delta)
