"""A trust server that lies, and its victim with the real client."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from securesystemslib.signer import Signer

from tests.attacks.collection import Collection
from tests.remote.conftest import Handler, Server
from tests.service import Person, Result
from tests.simulator import Publisher
from trustkit.cli.app import report, run
from trustkit.cli.context import Context
from trustkit.cli.status import exit_status
from trustkit.core.names import Gun, Host
from trustkit.errors import TrustkitError
from trustkit.remote.http import HttpClient, Limits
from trustkit.remote.source import UpdaterSource

_PATH = re.compile(r"/v2/(.+)/_trust/metadata/[^/]+\Z")
_VERSIONED = re.compile(r"([0-9]+)\.([a-z]+)\.json\Z")

Lie = bytes | None | Callable[[Handler], None]
"""What stands in a file's place: other bytes, nothing at all, or whatever a function does to the connection."""


def refusal(status: int, slug: str = "", *, code: str = "X", told: int = 0) -> Callable[[Handler], None]:
    """An answer with an OCI error body; with our slug where there is one, and a status that it tells of itself."""
    detail = {"slug": slug, "status": told} if slug else {}
    body = json.dumps({"errors": [{"code": code, "message": "said the server", "detail": detail}]}).encode()
    return lambda handler: handler.reply(status, body, Content_Type="application/json")


class _Handler(Handler):
    disable_nagle_algorithm = True  # an answer in two writes would wait 40 ms for the client's acknowledgement


class TrustServer:
    """A trust service on a port of loopback that serves collections, and lies where it is told to.

    Attributes:
        collections: what is served, by GUN.
        lies: by the last part of the path, such as ``2.root.json``, what is served there; ``*`` is everything.
        seen: the last parts of the paths that were asked for.
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
        name = handler.path.rpartition("/")[2]
        self.seen.append(name)
        lie = self.lies[name] if name in self.lies else self.lies.get("*", b"")
        if callable(lie):
            return lie(handler)
        found = _PATH.match(handler.path)
        collection = self.collections.get(found[1]) if found else None
        if found and collection is None and lie == b"":
            return refusal(404, "no-collection")(handler)
        data = lie or (_file(collection, name) if collection and lie is not None else None)
        if data is None:
            return refusal(404, "not-found")(handler)
        return handler.reply(200, data, Content_Type="application/json")


def _file(collection: Publisher, name: str) -> bytes | None:
    if name == "timestamp.json":
        return collection.files["timestamp"]
    found = _VERSIONED.match(name)
    return collection.history.get((found[2], int(found[1]))) if found else None


@dataclass
class Victim:
    """A consumer with a home of its own; calling it runs a real command line in this process.

    Attributes:
        clock: what it takes for now.
        limits: its deadlines; the real ones where None.
        stopwatch: by what it measures how long one answer takes.
        patience: by what it measures how long all of a collection's files take.
        waits: whether it really waits between tries at a replica that lags.
    """

    folder: Path
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    limits: Limits | None = None
    stopwatch: Callable[[], float] = time.monotonic
    patience: Callable[[], float] = time.monotonic
    waits: bool = False

    @property
    def home(self) -> Path:
        return self.folder / "trustkit"

    def __call__(self, *arguments: str) -> Result:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                status = run(list(arguments), self.context())
            except TrustkitError as error:
                report(error)
                status = exit_status(error)
        return Result(status, out.getvalue(), err.getvalue())

    def context(self) -> Context:
        """The wiring of one run."""
        return _Context(self)

    def as_process(self, *arguments: str) -> Result:
        """The same command line as a process of its own, over the same home."""
        return Person("victim", self.folder)(*arguments)


class VictimContext(Context):
    """The command line's own wiring; only its clocks and deadlines are the victim's."""

    def __init__(self, victim: Victim) -> None:
        super().__init__(home_flag=str(victim.home), environ={"HOME": str(victim.home)})
        self._victim = victim
        self.now = victim.clock  # type: ignore[method-assign]  # the seam that a test turns time by

    def http(self, host: Host) -> HttpClient:
        victim = self._victim
        return HttpClient(host, environ=self.environ, limits=victim.limits, clock=victim.stopwatch)


class _Context(VictimContext):
    @cached_property
    def source(self) -> UpdaterSource:
        metadata = self.home.metadata
        return UpdaterSource(
            fetcher=self._fetcher,
            folder=metadata.locked,
            seen=metadata.seen,
            sleep=time.sleep if self._victim.waits else lambda seconds: None,
            clock=self._victim.patience,
        )


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
