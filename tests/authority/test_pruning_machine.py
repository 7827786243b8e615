"""Whatever is published, rotated, renewed, recovered and pruned in whatever order: nobody's verification breaks.

Stock python-tuf clients stop at any state, and begin to read at any state; they come to what is signed now, whether
they go on soon or late.  A version that was once shown is shown as it was or not at all, and none goes down.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from tests.authority.test_publishing import ALICE, LIFE, World
from tests.simulator import DAY, GUN, Publisher, make_signer, manifest
from trustkit.authority.pruning import Pruning
from trustkit.authority.recover import Recovery
from trustkit.authority.rotation import Rotation
from trustkit.authority.settings import set_policy
from trustkit.core.draft import Draft
from trustkit.core.names import SignerName, Tag
from trustkit.core.rotation import rotate_repository, rotate_root
from trustkit.core.signers import add_signer, remove_signer
from trustkit.core.targets import make_target
from trustkit.store.database import SqlStore

TAGS = ["v1", "v2", "latest"]
SIGNERS = {"ci": ["v*"], "dora": []}
KEYS = [make_signer() for _ in range(40)]
HISTORIES = ["1d", "1v", "3v", "2d,2v", "all"]


class Served(FetcherInterface):
    """What the service hands out now, but for one timestamp that somebody has read before."""

    def __init__(self, machine: Prunings, timestamp: bytes | None) -> None:
        self._machine = machine
        self._timestamp = timestamp

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2].removesuffix(".json")
        version, _, role = name.partition(".")
        if name == "timestamp":
            return iter([self._timestamp or self._machine.files()["timestamp"]])
        data = self._machine.file(role, int(version))
        if data is None:
            raise DownloadHTTPError(name, 404)
        return iter([data])


class Prunings:
    """What it remembers: what each tag was signed for last, every file that was ever shown, and who stopped where."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="prunings-"))
        self.runner = asyncio.Runner()
        self.world = World(self.run(SqlStore.open(self.folder / "trustkit.db")))
        self.run(self.world.people())
        self.rotation = Rotation(self.world.store, self.world.keys, clock=lambda: self.world.now)
        self.publisher: Publisher = self.run(self.world.publisher())
        self.wanted: dict[str, str] = {}
        self.shown: dict[tuple[str, int], bytes] = {}
        self.moments: list[tuple[datetime, dict[str, bytes], dict[str, str]]] = []
        self.clients: list[Path] = []
        self.signing: dict[str, Any] = {}
        self.spare = iter(KEYS)
        self.count = 0
        self._publish(self.publisher.first_upload("v1", now=self.world.now))
        self.first = self.files()["root"]
        self.wanted["v1"] = manifest("v1").digest.hex
        self._somebody_stops_here()

    def close(self) -> None:
        self.run(self.world.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def do(self, what: str, number: int) -> None:
        """One thing that happens.

        Args:
            number: which of those that there are.
        """
        if what == "sign":
            self._sign(TAGS[number % 3], [None, *SIGNERS][number % 4 % 3])
        elif what == "revoke":
            if self.wanted:
                self._revoke(sorted(self.wanted)[number % len(self.wanted)])
        elif what == "signer":
            self._signer_comes_or_goes(sorted(SIGNERS)[number % 2])
        elif what in ("root", "repository"):
            self._rotate(what)
        elif what == "online":
            self._rotate_online([["snapshot"], ["timestamp"], ["snapshot", "timestamp"]][number % 3])
        elif what == "recover":
            self._recover()
        elif what == "prune":
            self._prune(HISTORIES[number % len(HISTORIES)], warm=number % 2 == 0)
        elif what == "stop":
            self._somebody_stops_here()
        else:
            self._time_passes([1, 11, 23, 25, 24 * 4][number % 5])
        self._nothing_lower_or_other_is_shown()
        self.moments.append((self.world.now, self.files(), dict(self.wanted)))

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def files(self) -> dict[str, bytes]:
        return self.run(self.world.files())

    def file(self, role: str, version: int) -> bytes | None:
        async def read() -> bytes | None:
            async with self.world.store.read() as tx:
                found = await tx.collections.file(GUN, role, version)
                return found.data if found else None

        return self.run(read())

    # What people do

    def _sign(self, tag: str, by: str | None) -> None:
        self.count += 1
        image, key = manifest(f"{tag} {self.count}"), self.signing.get(by or "")
        owner = self._draft().owner(Tag(tag))
        if key is not None and owner not in (by, "releases"):
            return
        if key is not None and owner == "releases" and SIGNERS[by or ""]:
            return

        def edit(draft: Draft) -> None:
            draft.put([make_target(Tag(tag), image, None, now=self.world.now, keep=30 * DAY)])
            if key is not None:
                draft.attribute(key.public_key.keyid)

        self._change(edit, *([key] if key is not None else []))
        self.wanted[tag] = image.digest.hex

    def _revoke(self, tag: str) -> None:
        self._change(lambda draft: draft.drop([tag]))
        del self.wanted[tag]

    def _signer_comes_or_goes(self, name: str) -> None:
        """A name that goes stays in the snapshot; when it comes again its versions go on."""
        if name in self.signing:
            self._change(lambda draft: remove_signer(draft, SignerName(name), resign=True))
            del self.signing[name]
        elif (key := next(self.spare, None)) is not None:
            self._change(lambda draft: add_signer(draft, SignerName(name), key.public_key, paths=SIGNERS[name]))
            self.signing[name] = key

    def _rotate(self, which: str) -> None:
        new, publisher = next(self.spare, None), self.publisher
        if new is None:
            return
        if which == "root":
            old = publisher.root
            self._change(
                lambda draft: rotate_root(draft, old.public_key.keyid, new.public_key), old, new, publisher.repository
            )
            publisher.root = new
        else:
            worker = publisher.repository
            self._change(
                lambda draft: rotate_repository(draft, worker.public_key.keyid, new.public_key), publisher.root, new
            )
            publisher.repository = new

    def _rotate_online(self, roles: list[str]) -> None:
        self.run(self.rotation.stage(GUN, roles, ALICE))
        pending = self.run(self.rotation.outlook(GUN)).pending

        def change(root: Any) -> None:
            for role, key in pending.items():
                root.revoke_key(root.roles[role].keyids[0], role)
                root.add_key(key, role)

        self._publish(self.publisher.change_root(change))

    # What time and the operator do

    def _time_passes(self, hours: int) -> None:
        self.world.now += timedelta(hours=hours)
        report = self.run(self.world.renewal.round())
        assert report.failed == {}
        self._seen()

    def _recover(self) -> None:
        recovery = Recovery(self.world.store, self.world.keys, LIFE, 7, "operator:root", self.world.now)
        assert self.run(recovery.run(None)).failed == {}
        self._seen()

    def policy(self, history: str) -> None:
        async def put() -> None:
            async with self.world.store.write() as tx:
                await set_policy(tx, "history", history, actor="op", source="", now=self.world.now)

        self.run(put())

    def _prune(self, history: str, *, warm: bool) -> None:
        """Whoever stopped before goes on, and so does who is in the midst of reading."""
        self.policy(history)
        before = self.files()
        pruning = Pruning(self.world.store, clock=lambda: self.world.now)
        _, found = self.run(pruning.look())
        done = self.run(pruning.prune())
        assert done.failed == {}
        assert done.files == sum(held.due for held in found.values())
        assert self.files() == before
        assert self.run(pruning.prune()).files == 0
        for client in self.clients[-3:]:
            self._goes_on(client)
        assert self._digests(self._emptied("cold"), None) == self.wanted
        recent = {files["timestamp"]: (at, files, wanted) for at, files, wanted in self.moments}
        for at, files, wanted in [each for each in recent.values() if self.world.now - each[0] < DAY][-5:]:
            self._reads_on(at, files, wanted, warm=warm)

    # What clients do

    def _somebody_stops_here(self) -> None:
        """A client comes to this state, and is away until somebody looks for it."""
        folder = self.folder / f"client-{len(self.clients)}"
        folder.mkdir()
        assert self._digests(folder, None) == self.wanted
        self.clients.append(folder)

    def _emptied(self, name: str) -> Path:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def _goes_on(self, client: Path) -> None:
        """On a copy, so that whoever stopped there is there for later."""
        folder = self._emptied("going-on")
        shutil.copytree(client, folder, dirs_exist_ok=True)
        assert self._digests(folder, None) == self.wanted

    def _reads_on(self, at: datetime, files: dict[str, bytes], wanted: dict[str, str], *, warm: bool) -> None:
        """A timestamp that was read within the last day leads to all of its state."""
        folder = self._emptied("midst")
        if warm:
            shutil.copytree(self.clients[0], folder, dirs_exist_ok=True)
        root = json.loads(files["root"])["signed"]["version"]
        assert self._digests(folder, files["timestamp"], root=root, at=at) == wanted

    def _nothing_lower_or_other_is_shown(self) -> None:
        newest = {role: json.loads(data)["signed"]["version"] for role, data in self.files().items()}
        for (role, version), data in self.shown.items():
            assert version <= newest[role]
            there = self.file(role, version)
            assert there == data or (there is None and role != "root" and version < newest[role])

    def _digests(
        self, folder: Path, timestamp: bytes | None, *, root: int | None = None, at: datetime | None = None
    ) -> dict[str, str]:
        from tuf.ngclient.config import UpdaterConfig

        fetcher = Served(self, timestamp)
        if root is not None:
            fetcher = _Until(self, timestamp, root)
        config = UpdaterConfig(max_root_rotations=1000)
        updater = Updater(str(folder), "https://memory/", fetcher=fetcher, bootstrap=self.first, config=config)
        updater._trusted_set.reference_time = at or self.world.now
        found = {tag: updater.get_targetinfo(tag) for tag in TAGS}
        return {tag: target.hashes["sha256"] for tag, target in found.items() if target}

    def _draft(self) -> Draft:
        return Draft(GUN, self.publisher.files, now=self.world.now, lifetimes=LIFE)

    def _change(self, edit: Callable[[Draft], None], *signers: Any) -> None:
        self._publish(self.publisher.change(edit, *signers, now=self.world.now))

    def _publish(self, upload: dict[str, bytes]) -> None:
        self.run(self.world.publishing.publish(GUN, upload, ALICE))
        self._seen()

    def _seen(self) -> None:
        files = self.files()
        self.publisher.files = dict(files)
        for role, data in files.items():
            version = json.loads(data)["signed"]["version"]
            assert self.shown.setdefault((role, version), data) == data


class _Until(Served):
    """As it was when the newest root had this version: later ones come later."""

    def __init__(self, machine: Prunings, timestamp: bytes | None, root: int) -> None:
        super().__init__(machine, timestamp)
        self._root = root

    def _fetch(self, url: str) -> Iterator[bytes]:
        version, _, role = url.rpartition("/")[2].removesuffix(".json").partition(".")
        if role == "root" and int(version) > self._root:
            raise DownloadHTTPError(url, 404)
        return super()._fetch(url)


WHAT = [*["sign"] * 5, "revoke", *["signer"] * 2, "root", "repository", "online", "recover"]
WHAT += [*["time"] * 5, *["prune"] * 3, "stop"]


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to make a list of thirty shorter takes minutes
)
@given(st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 59)), min_size=15, max_size=30))
def test_nobodys_verification_breaks(happens: list[tuple[str, int]]) -> None:
    machine = Prunings()
    try:
        for each in [*happens, ("prune", 0), ("time", 1), ("prune", 1)]:
            machine.do(*each)
    finally:
        machine.close()
