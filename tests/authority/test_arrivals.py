"""Collections that come from another trust server with their former roots: what is taken, once, and what never is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.authority.conftest import Play, Scene
from tests.authority.test_notary_publishing import ALICE, DAY, GUN, OLGA, Office
from tests.formats_docker.forge import Pair, certified, ecdsa, role_of, tags
from trustkit.authority import arrivals
from trustkit.authority.founders import Change, add_founders
from trustkit.core.formats.docker import files
from trustkit.core.formats.docker.evaluate import evaluate
from trustkit.core.formats.docker.history import AHEAD, HIGHEST, MOST
from trustkit.core.names import Gun, Tag
from trustkit.core.patterns import RepositoryPattern
from trustkit.errors import (
    BadSignature,
    BadVersion,
    Conflict,
    ConsentMissing,
    FounderNotAllowed,
    Malformed,
    NotFound,
    Rejected,
    TooLarge,
    TrustkitError,
    WrongFormat,
    WrongGun,
)

OTHER = Gun.parse("localhost:5000/team/other")


@dataclass
class Line:
    """The roots of a collection that was at another server, with that server's keys, and its last state here.

    Args:
        office: whose forge is the collection; the root that it makes follows the last of these.
        rotated: after which versions the root key changed.
    """

    office: Office
    last: int = 4
    rotated: tuple[int, ...] = (2,)
    roots: dict[int, bytes] = field(default_factory=dict)
    state: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        forge = self.office.forge
        ours = {role: forge.signers[role] for role in ("snapshot", "timestamp")}
        forge.signers |= {"snapshot": [ecdsa()], "timestamp": [ecdsa()]}
        self.theirs = dict(forge.signers)
        before: list[Pair] = []
        for version in range(1, self.last + 1):
            forge.version = version
            pairs = {key.keyid: (key, signer) for key, signer in [*before, *forge.signers["root"]]}
            self.roots[version] = files.sign(forge.root, list(pairs.values()))
            before = list(forge.signers["root"])
            if version in self.rotated:
                forge.signers["root"] = [certified(gun=GUN)]
        forge.versions = {"snapshot": 17, "timestamp": 40}
        state = forge.files()
        self.state = {"17.snapshot": state["snapshot"], "40.timestamp": state["timestamp"]}
        forge.version = self.last + 1
        forge.signers |= ours
        self.cosigners = before

    def upload(self, **changed: bytes | None) -> dict[str, bytes]:
        """What a publisher would bring; ``r3=None`` leaves out root 3, ``r3=data`` puts another one there."""
        forge = self.office.forge
        signed = {"root": forge.root, **forge.roles}
        made = {role: files.sign(each, forge.signers[role]) for role, each in signed.items()}
        pairs = {key.keyid: (key, signer) for key, signer in [*self.cosigners, *forge.signers["root"]]}
        made["root"] = files.sign(forge.root, list(pairs.values()))
        roots: dict[int, bytes | None] = {**self.roots, **{int(name[1:]): data for name, data in changed.items()}}
        return made | self.state | {f"{version}.root": data for version, data in roots.items() if data is not None}


async def ready(it: Scene, *, allow: bool = True, last: int = 4) -> tuple[Office, Line]:
    office = await Office(it).ready()
    line = Line(office, last=last)
    office.forge.roles["targets"].version = 41
    if allow:
        await allowed(office)
    return office, line


async def allowed(office: Office, gun: Gun = GUN) -> None:
    async with office.it.store.write(gun) as tx:
        await arrivals.allow(tx, gun, "operator:root", office.it.now)


async def left(office: Office) -> Mapping[Gun, object]:
    async with office.it.store.read() as tx:
        return await arrivals.allowed(tx, office.it.now)


def test_a_collection_comes_with_its_roots_once(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office, line = await ready(it)
        ann = ecdsa()
        office.forge.delegate(role_of("targets/ann", ann[0]), None, ann)
        upload = line.upload()
        versions = await office.publishing.publish(GUN, upload, ALICE)
        assert versions == {"root": 5, "targets": 41, "snapshot": 17 + AHEAD + 1, "timestamp": 40 + AHEAD + 1}
        for version, data in line.roots.items():
            assert (await office.notary.file(GUN, "root", version, "")).file.data == data
        assert (await office.notary.file(GUN, "root", 5, "")).file.data == upload["root"]
        assert set(evaluate(await office.stored(), GUN, it.now).targets) == {Tag("v1")}
        row = (await it.audit())[-1]
        assert (row.action, row.detail["former_roots"]) == ("collection-founded", [1, 4])
        assert not await left(office)
        after = {role: version + 1 for role, version in versions.items() if role != "root"}
        assert await office.signs("v1", "v2") == {"root": 5, **after}
        with pytest.raises(Conflict, match="has a collection here already"):
            await office.publishing.publish(GUN, upload, ALICE)
        with pytest.raises(Conflict, match="none can come in its place"):
            await allowed(office)

    play(scene)


def test_a_consent_is_for_one_name_for_a_week_and_is_used_by_a_publish_that_succeeds(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office, line = await ready(it, allow=False)
        with pytest.raises(ConsentMissing, match="has not allowed"):
            await office.publishing.publish(GUN, line.upload(), ALICE)
        await allowed(office, OTHER)
        with pytest.raises(ConsentMissing):
            await office.publishing.publish(GUN, line.upload(), ALICE)
        await allowed(office)
        with pytest.raises(BadVersion):
            await office.publishing.publish(GUN, line.upload(r3=None), ALICE)
        assert set(await left(office)) == {GUN, OTHER}
        it.now += 8 * DAY
        assert not await left(office)
        with pytest.raises(ConsentMissing, match="ended on"):
            await office.publishing.publish(GUN, line.upload(), ALICE)
        await allowed(office)
        async with it.store.write(GUN) as tx:
            await arrivals.withdraw(tx, GUN, "operator:root", it.now)
        async with it.store.write(GUN) as tx:
            with pytest.raises(NotFound):
                await arrivals.withdraw(tx, GUN, "operator:root", it.now)
        with pytest.raises(ConsentMissing):
            await office.publishing.publish(GUN, line.upload(), ALICE)
        assert not (await office.stored())
        assert {"migration-allowed", "migration-withdrawn"} <= set(await it.actions())

    play(scene)


def stranger(line: Line) -> dict[str, bytes | None]:
    """Root 3 as somebody else would have it, who can't sign as root 2 said."""
    forge = line.office.forge
    mine = forge.signers["root"]
    forge.signers["root"], forge.version = [certified(gun=GUN)], 3
    made = files.sign(forge.root, forge.signers["root"])
    forge.signers["root"], forge.version = mine, line.last + 1
    return {"r3": made}


def another(line: Line) -> dict[str, bytes | None]:
    """Root 1 of another collection."""
    forge = line.office.forge
    mine, forge.version = forge.signers["root"], 1
    forge.signers["root"] = [certified(gun=OTHER)]
    made = files.sign(forge.root, forge.signers["root"])
    forge.signers["root"], forge.version = mine, line.last + 1
    return {"r1": made}


def converted(line: Line) -> dict[str, bytes | None]:
    forge = line.office.forge
    forge.version, forge.last = line.last, True
    made = files.sign(forge.root, line.cosigners)
    forge.version, forge.last = line.last + 1, False
    return {f"r{line.last}": made}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda _: {"r3": None}, BadVersion, id="a gap"),
        pytest.param(lambda _: {"r4": None}, BadVersion, id="the last one is missing"),
        pytest.param(stranger, BadSignature, id="a stranger's root in the line"),
        pytest.param(another, WrongGun, id="another collection's first root"),
        pytest.param(lambda line: {"r3": line.roots[2]}, BadVersion, id="one under another's number"),
        pytest.param(lambda line: {"r3": line.roots[3][:-9]}, Malformed, id="half a root"),
        pytest.param(lambda line: {"r3": line.roots[3].replace(b":", b": ", 1)}, Malformed, id="another spelling"),
        pytest.param(lambda line: {"r9": line.roots[4]}, BadVersion, id="one from behind"),
        pytest.param(converted, WrongFormat, id="one that says it went on in format tuf"),
    ],
)  # fmt: skip
def test_a_line_that_does_not_hold_is_refused_whole(
    play: Play, change: Callable[[Line], dict[str, bytes | None]], error: type[TrustkitError]
) -> None:
    async def scene(it: Scene) -> None:
        office, line = await ready(it)
        with pytest.raises(error):
            await office.publishing.publish(GUN, line.upload(**change(line)), ALICE)
        assert not await office.stored()
        assert set(await left(office)) == {GUN}

    play(scene)


def numbered(line: Line, role: str, version: int, *, by: str = "") -> dict[str, bytes]:
    """The former server's last state with another version of a role, signed by its keys, or by those of another."""
    forge = line.office.forge
    root = forge.signers["root"]
    kept, forge.signers = forge.signers, {**line.theirs, "root": root}
    forge.signers[role] = forge.signers[by or role]
    forge.versions = {"snapshot": 17, "timestamp": 40, role: version}
    state, forge.signers = forge.files(), kept
    return {
        f"{forge.versions['snapshot']}.snapshot": state["snapshot"],
        f"{forge.versions['timestamp']}.timestamp": state["timestamp"],
    }


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda line: {"17.snapshot": line.state["17.snapshot"]}, Malformed, id="no timestamp"),
        pytest.param(lambda line: {"40.timestamp": line.state["40.timestamp"]}, Malformed, id="no snapshot"),
        pytest.param(
            lambda line: numbered(line, "timestamp", HIGHEST + 1), BadVersion, id="a version that leaves none"
        ),
        pytest.param(lambda line: line.state | {"41.timestamp": b"{}"}, Malformed, id="two timestamps"),
        pytest.param(
            lambda line: {"17.snapshot": line.state["17.snapshot"], "39.timestamp": line.state["40.timestamp"]},
            BadVersion,
            id="under another number",
        ),
        pytest.param(lambda line: numbered(line, "timestamp", 40, by="targets"), BadSignature, id="by another key"),
        pytest.param(
            lambda line: {
                "17.snapshot": line.state["17.snapshot"],
                **{k: v for k, v in numbered(line, "snapshot", 18).items() if k == "40.timestamp"},
            },
            Malformed,
            id="a timestamp of another snapshot",
        ),
    ],
)
def test_how_far_the_other_server_is_has_to_be_signed_by_it(
    play: Play, change: Callable[[Line], dict[str, bytes]], error: type[TrustkitError]
) -> None:
    async def scene(it: Scene) -> None:
        office, line = await ready(it)
        line.state = change(line)
        with pytest.raises(error):
            await office.publishing.publish(GUN, line.upload(), ALICE)
        assert not await office.stored()

    play(scene)


def test_more_roots_than_clients_walk_are_refused_before_any_is_read(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office, line = await ready(it)
        many = {f"r{version}": b"nothing that anybody could read" for version in range(5, MOST + 2)}
        with pytest.raises(TooLarge):
            await office.publishing.publish(GUN, line.upload(**many), ALICE)

    play(scene)


def test_the_line_may_begin_later_and_versions_stay_bounded_without_it(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office, line = await ready(it)
        whole = line.upload()
        plain = {role: data for role, data in whole.items() if "." not in role}
        with pytest.raises(BadVersion, match="begins with version"):
            await office.publishing.publish(GUN, plain, ALICE)
        late = {name: data for name, data in whole.items() if name not in ("1.root", "2.root")}
        assert (await office.publishing.publish(GUN, late, ALICE))["root"] == 5
        with pytest.raises(NotFound):
            await office.notary.file(GUN, "root", 2, "")

    play(scene)


def test_in_the_place_of_a_deleted_collection_the_roots_stand_in_a_series_of_their_own(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        await office.found()
        old = (await office.notary.file(GUN, "root", 1, "")).file.data
        await office.notary.delete(GUN, OLGA)
        for role in ("timestamp", "snapshot"):
            await office.names(role)
        line = Line(office, rotated=())
        office.forge.roles["targets"].version = 7
        await allowed(office)
        versions = await office.publishing.publish(GUN, line.upload(), ALICE)
        assert (versions["root"], versions["targets"]) == (5, 7)
        for version, data in line.roots.items():
            assert (await office.notary.file(GUN, "root", version, "")).file.data == data
        assert line.roots[1] != old

    play(scene)


def test_expiry_bounds_hold_for_what_comes_and_not_for_former_roots(play: Play) -> None:
    async def scene(it: Scene) -> None:
        office = await Office(it).ready()
        ends = office.forge.expires
        office.forge.expires = it.now - 300 * DAY
        line = Line(office)
        office.forge.expires = ends
        office.forge.roles["targets"].expires = it.now + timedelta(days=4000)
        await allowed(office)
        with pytest.raises(Rejected, match=r"targets\.json expires"):
            await office.publishing.publish(GUN, line.upload(), ALICE)
        office.forge.roles["targets"].expires = ends
        office.forge.roles["targets"].targets = tags("v1", "v2")
        await office.publishing.publish(GUN, line.upload(), ALICE)

    play(scene)


def test_lists_of_founders_hold_for_what_comes(play: Play) -> None:
    """Of two who may sign, the one whose root key the operator listed brings it; the consent waits for that one."""

    async def scene(it: Scene) -> None:
        office, line = await ready(it)
        change = Change("operator:root", "local", it.now)
        async with it.store.write() as tx:
            await add_founders(tx, RepositoryPattern.parse("*"), ["ab" * 32], change)
        with pytest.raises(FounderNotAllowed):
            await office.publishing.publish(GUN, line.upload(), ALICE)
        assert set(await left(office)) == {GUN}
        async with it.store.write() as tx:
            key = office.forge.signers["root"][0][0].canonical_id
            await add_founders(tx, RepositoryPattern.parse("*"), [key], change)
        await office.publishing.publish(GUN, line.upload(), ALICE)

    play(scene)
