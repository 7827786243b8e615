"""A file is carried to where nobody can be asked, by somebody who changes it on the way (TRUST 6.3)."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.attacks.bundling import Members, archive, blob, changed, members, odd, served
from tests.attacks.collection import LIFE, Collection
from tests.attacks.evil import Stage
from tests.service import Result
from tests.simulator import DAY, edited, make_signer, manifest
from trustkit.core.formats.tuf1 import write_time
from trustkit.core.manifests import OCI_INDEX
from trustkit.core.names import Digest, Gun, SignerName
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.signers import add_signer

MINUTE = timedelta(minutes=1)
ONE = manifest("v1")


def parts(stage: Stage, collection: Collection | None = None, image: ManifestBytes = ONE) -> Members:
    return members({stage.gun: served(collection or stage.honest)}, {stage.ref: image})


def bundle(stage: Stage, made: Members | None = None, name: str = "app.tkb") -> Path:
    return archive(stage.folder / name, made or parts(stage))


def verify(stage: Stage, file: Path, age: str = "1d", *refs: str) -> Result:
    stage.server.seen.clear()
    result = stage.victim("verify", "--bundle", str(file), "--max-age", age, *(refs or (stage.ref,)))
    assert stage.server.seen == [], "a bundle is verified with no network"
    return result


def trusts(stage: Stage, file: Path, age: str = "1d") -> None:
    result = verify(stage, file, age)
    assert (result.status, result.out) == (0, stage.trusted), result.err


def trusts_signed(stage: Stage, file: Path, age: str) -> None:
    """As ``trusts``, where the tag is a signer's."""
    assert verify(stage, file, age).out == f"{stage.ref}@{ONE.digest}\n"


def refuses(stage: Stage, file: Path, status: int, slug: str, age: str = "1d") -> Result:
    """Refused like this, with nothing kept: the honest bundle and the honest service are trusted afterwards."""
    kept = kept_files(stage)
    result = verify(stage, file, age)
    assert (result.status, result.slug, result.out) == (status, slug, ""), result.err
    assert kept_files(stage) == kept, "what was refused left something behind"
    return result


def kept_files(stage: Stage) -> dict[str, bytes]:
    """What the home keeps of collections."""
    folder = stage.victim.home / "cache" / "metadata"
    files = [file for file in folder.rglob("*.json") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


def test_an_honest_bundle_is_trusted_cold_and_warm(stage: Stage, cache: str) -> None:
    file = bundle(stage)
    if cache == "warm":
        stage.trusts()
    trusts(stage, file)
    trusts(stage, file)
    stage.trusts()


# --- age, clocks and expiry


def test_the_age_counts_from_the_signed_moment_and_has_no_default(stage: Stage) -> None:
    file, signed = bundle(stage), stage.honest.moment
    assert stage.victim("verify", "--bundle", str(file), stage.ref).status == 2
    assert stage.victim("verify", "--max-age", "1d", stage.ref).status == 2
    for text in ("", "0d", "1", "1w", "-1d", "4000d", "1d1d", "99999999d", "\u0661d"):
        assert verify(stage, file, text).status == 2, text
    stage.victim.clock = at(signed + DAY)
    trusts(stage, file)
    stage.victim.clock = at(signed + DAY + timedelta(seconds=1))
    assert "newer bundle" in refuses(stage, file, 3, "too-old").err
    trusts(stage, file, "2d")


def test_a_policy_may_say_the_age_and_what_it_does_not_say_is_no_age(stage: Stage) -> None:
    file, policy = bundle(stage), stage.folder / "policy.toml"
    stage.server.seen.clear()

    def asked(rule: str, *flags: str) -> Result:
        policy.write_text(f'version = 1\n[[rule]]\npattern = "{stage.gun}"\n{rule}\n')
        return stage.victim("verify", "--policy", str(policy), "--bundle", str(file), *flags, stage.ref)

    assert asked('max_staleness = "1d"').out == f"{stage.trusted}"
    for none in ("", 'max_staleness = "0d"'):
        assert (asked(none).status, asked(none).out) == (2, ""), none
    assert asked("", "--max-age", "1d").status == 0
    stage.victim.clock = at(stage.honest.moment + DAY + timedelta(seconds=1))
    assert asked('max_staleness = "1d"').slug == "too-old"
    assert asked('max_staleness = "1d"', "--max-age", "2d").status == 0, "what a person says here counts"
    assert stage.server.seen == []


def test_the_online_roles_expiry_may_be_passed_within_the_age(stage: Stage) -> None:
    file = bundle(stage)
    stage.victim.clock = at(stage.honest.moment + LIFE["snapshot"] + 30 * DAY)
    refuses(stage, file, 3, "too-old", "14d")
    trusts(stage, file, "60d")
    stage.refuses(3, "expired")


@pytest.mark.parametrize("role", ["root", "targets"])
def test_nothing_else_that_has_expired_is_waived(stage: Stage, cache: str, role: str) -> None:
    stage.meet(cache)
    file = bundle(stage)
    late = stage.honest.moment + LIFE["targets"]
    if role == "root":
        key = stage.honest.root
        root = edited(
            stage.honest.files["root"],
            lambda value: value["signed"].update(expires=write_time(stage.honest.moment + 2 * DAY), version=2),
            resign=stage.honest.signed(key),
        )
        stage.honest.files["root"] = stage.honest.history["root", 2] = root
        file, late = bundle(stage), stage.honest.moment + 2 * DAY
    stage.victim.clock = at(late)
    assert f": {role} expired" in refuses(stage, file, 3, "expired", "3650d").err


def test_a_signers_expiry_is_not_waived(stage: Stage) -> None:
    """The signer's file is older than targets, so it is what expires first."""
    honest = stage.honest
    key = make_signer()
    honest.accept(
        honest.change(lambda draft: add_signer(draft, SignerName("ci"), key.public_key, paths=["v*"])), honest.moment
    )
    expires = datetime.fromisoformat(json.loads(honest.files["ci"])["signed"]["expires"])
    honest.moment += 30 * DAY
    other = make_signer().public_key
    honest.accept(
        honest.change(lambda draft: add_signer(draft, SignerName("qa"), other, paths=["q*"]), now=honest.moment),
        honest.moment,
    )
    file = bundle(stage)
    stage.victim.clock = at(expires - timedelta(seconds=1))
    trusts_signed(stage, file, "3650d")
    stage.victim.clock = at(expires)
    assert ": ci expired" in refuses(stage, file, 3, "expired", "3650d").err


def test_a_timestamp_from_the_future_is_refused(stage: Stage, cache: str) -> None:
    """Whoever has the online key could make a bundle young for ever; and a clock that stands still would, too."""
    stage.meet(cache)
    now, ahead = stage.honest.moment, stage.honest.as_now()
    ahead.moment = now + 11 * MINUTE
    ahead.renew_timestamp()
    file = bundle(stage, parts(stage, ahead))
    stage.victim.clock = at(now)
    assert "clock" in refuses(stage, file, 3, "clock-behind").err
    stage.victim.clock = at(now + 2 * MINUTE)
    trusts(stage, file)


# --- versions


@pytest.mark.parametrize("seen", ["bundle", "network"])
def test_an_older_bundle_after_a_newer_state_is_a_rollback(stage: Stage, seen: str) -> None:
    old = bundle(stage, name="old.tkb")
    trusts(stage, old)
    stage.honest.release("v1", manifest("new"))
    new = bundle(stage, parts(stage, image=manifest("new")), "new.tkb")
    if seen == "bundle":
        trusts(stage, new)
    else:
        stage.trusts()
    refuses(stage, old, 3, "rolled-back")
    trusts(stage, new)
    stage.trusts()


def test_a_service_that_is_behind_a_bundle_is_a_rollback(stage: Stage) -> None:
    old = stage.honest.as_now()
    stage.honest.release("v1", manifest("new"))
    trusts(stage, bundle(stage, parts(stage, image=manifest("new"))))
    stage.server.collections[str(stage.gun)] = old
    stage.refuses(3, "rolled-back")


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_files_of_different_moments_are_refused(stage: Stage, cache: str, role: str) -> None:
    stage.meet(cache)
    old = stage.honest.files[role]
    stage.honest.release("v1", manifest("new"))
    files = served(stage.honest) | {stage.honest.name(role): old}
    refuses(stage, bundle(stage, members({stage.gun: files}, {})), 3, "rolled-back")


# --- whose files, whose bytes


def test_without_a_pin_nothing_is_trusted(stage: Stage) -> None:
    assert stage.victim("pin", "remove", str(stage.gun)).status == 0
    refuses(stage, bundle(stage), 3, "no-pin")


def test_a_strangers_collection_is_refused(stage: Stage, cache: str) -> None:
    stage.meet(cache)
    stranger = Collection(stage.gun)
    stranger.found("v1")
    result = verify(stage, bundle(stage, parts(stage, stranger)))
    assert (result.status, result.out) == (3, "")
    assert result.slug in ("wrong-root", "signature-invalid")
    stage.recovers()


def test_another_collections_files_under_the_same_keys_are_refused(stage: Stage, cache: str) -> None:
    stage.meet(cache)
    honest = stage.honest
    other = Collection(Gun.parse(f"{stage.server.host}/team/other"), root=honest.root, repository=honest.repository)
    other.snapshot, other.timestamp = honest.snapshot, honest.timestamp
    other.found("v1")
    result = verify(stage, bundle(stage, parts(stage, other)))
    assert (result.status, result.slug) == (3, "wrong-collection" if cache == "warm" else "wrong-root")
    stage.recovers()


def test_swapped_bytes_of_a_manifest_are_refused(stage: Stage) -> None:
    name, swapped = blob(ONE.data)[0], manifest("v2").data
    assert len(swapped) == len(ONE.data)
    for change in (lambda _: swapped, lambda data: data + b" "):
        result = verify(stage, bundle(stage, changed(parts(stage), name, change)))
        assert (result.status, result.slug, result.out) == (3, "digest-mismatch", "")
    trusts(stage, bundle(stage))


def test_a_manifest_that_is_not_there_is_no_verdict(stage: Stage) -> None:
    without = [part for part in parts(stage) if part[0] != blob(ONE.data)[0]]
    assert verify(stage, bundle(stage, without)).slug == "bad-bundle"


def test_every_manifest_below_an_index_is_hashed(stage: Stage) -> None:
    child = manifest("child")
    listed = {"mediaType": child.media_type, "digest": str(child.digest), "size": len(child.data)}
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed]}).encode()
    index = ManifestBytes(Digest.of(data), OCI_INDEX, data)
    stage.honest.release("v1", index)
    good = members({stage.gun: served(stage.honest)}, {stage.ref: index}, child)
    trusts(stage, bundle(stage, good))
    name = blob(child.data)[0]
    assert verify(stage, bundle(stage, changed(good, name, lambda _: manifest("chilb").data))).status == 3
    assert verify(stage, bundle(stage, [part for part in good if part[0] != name])).slug == "bad-bundle"


def test_an_index_that_lists_the_reference_otherwise_is_refused(stage: Stage) -> None:
    """Whoever loads the file with another tool after it was verified would get the other image."""
    other = manifest("v2")
    made = members({stage.gun: served(stage.honest)}, {stage.ref: other}, ONE)
    assert verify(stage, bundle(stage, made)).slug == "digest-mismatch"


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_a_metadata_file_with_other_bytes_than_its_name_is_refused(stage: Stage, cache: str, role: str) -> None:
    stage.meet(cache)
    data = stage.honest.files[role]
    made = changed(parts(stage), blob(data)[0], lambda data: data[:-2] + b" }")
    if role != "timestamp" and cache == "warm":
        trusts(stage, bundle(stage, made))  # what is known at this version is not read again
    else:
        refuses(stage, bundle(stage, made), 3, "digest-mismatch")


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_a_metadata_file_that_is_not_there_is_no_verdict(stage: Stage, role: str) -> None:
    files = {name: data for name, data in served(stage.honest).items() if role not in name}
    refuses(stage, bundle(stage, members({stage.gun: files}, {stage.ref: ONE})), 4, "bad-bundle")


# --- the file itself


def _again(made: Members, name: str) -> Members:
    return [*made, next(part for part in made if part[0] == name)]


def _index(change: Callable[[dict[str, list[dict[str, object]]]], object]) -> Callable[[Members], Members]:
    def edit(data: bytes) -> bytes:
        value = json.loads(data)
        change(value)
        return json.dumps(value).encode()

    return lambda made: changed(made, "index.json", edit)


def _symlink(made: Members) -> list[object]:
    return [odd("index.json", tarfile.SYMTYPE, linkname="/etc/passwd"), *made]


TRICKS: dict[str, Callable[[Members], list[object] | Members]] = {
    "a way up": lambda made: [*made, ("../escaped", b"x")],
    "a way up inside": lambda made: [*made, ("blobs/sha256/../../escaped", b"x")],
    "an absolute path": lambda made: [*made, ("/tmp/escaped", b"x")],
    "a name of another shape": lambda made: [*made, ("blobs/sha256/" + "A" * 64, b"x")],
    "a file with no place": lambda made: [*made, ("README", b"x")],
    "a dot before names": lambda made: [(f"./{name}", data) for name, data in made],
    "a symbolic link": _symlink,
    "a link for a blob": lambda made: [*made, odd("blobs/sha256/" + "0" * 64, tarfile.SYMTYPE, linkname="../../x")],
    "a hard link": lambda made: [*made, odd("blobs/sha256/" + "0" * 64, tarfile.LNKTYPE, linkname="index.json")],
    "a device": lambda made: [odd("index.json", tarfile.CHRTYPE, devmajor=1, devminor=5), *made],
    "a block device": lambda made: [odd("index.json", tarfile.BLKTYPE, devmajor=8), *made],
    "a pipe": lambda made: [odd("index.json", tarfile.FIFOTYPE), *made],
    "a sparse file": lambda made: [odd("index.json", tarfile.GNUTYPE_SPARSE), *made],
    "another folder": lambda made: [odd("etc", tarfile.DIRTYPE), *made],
    "a long name": lambda made: [*made, ("blobs/sha256/" + "0" * 200, b"x")],
    "index.json twice": lambda made: _again(made, "index.json"),
    "a blob twice": lambda made: _again(made, made[0][0]),
    "no mark": lambda made: [part for part in made if part[0] != "oci-layout"],
    "another mark": lambda made: changed(made, "oci-layout", lambda _: b'{"imageLayoutVersion": "2.0.0"}'),
    "no index": lambda made: [part for part in made if part[0] != "index.json"],
    "an index that is no JSON": lambda made: changed(made, "index.json", lambda _: b"<html>"),
    "an index that is a list": lambda made: changed(made, "index.json", lambda _: b"[]"),
    "an index with a member twice": lambda made: changed(
        made, "index.json", lambda data: data.replace(b"{", b'{"manifests":[],', 1)
    ),
    "a deep index": lambda made: changed(made, "index.json", lambda _: b'{"manifests":' + b"[" * 99999),
    "a huge index": lambda made: changed(made, "index.json", lambda data: data + b" " * 4194304),
    "a collection twice": _index(lambda value: value["manifests"].append(value["manifests"][0])),
    "an image twice": _index(lambda value: value["manifests"].append(value["manifests"][1])),
    "an entry with no name": _index(lambda value: value["manifests"][1].pop("annotations")),
    "an entry with a size below nothing": _index(lambda value: value["manifests"][0].update(size=-1)),
    "an entry with another digest": _index(lambda value: value["manifests"][0].update(digest="sha512:" + "0" * 128)),
    "an entry that is a text": _index(lambda value: value["manifests"].insert(0, "x")),  # type: ignore[arg-type]
    "an annotation that is a list": _index(lambda value: value["manifests"][0].update(annotations={"x": []})),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_tar_that_is_more_than_a_layout_is_refused(stage: Stage, trick: str) -> None:
    file = archive(stage.folder / "app.tkb", TRICKS[trick](parts(stage)))  # type: ignore[arg-type]
    refuses(stage, file, 4, "bad-bundle")
    assert not (stage.folder.parent / "escaped").exists()
    trusts(stage, bundle(stage))


def test_extended_headers_are_refused(stage: Stage) -> None:
    file = stage.folder / "pax.tkb"
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x" * 100_000}) as tar:
        for name, data in parts(stage):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(data), {"path": "index.json"}
            tar.addfile(info, io.BytesIO(data))
    assert "extended header" in refuses(stage, file, 4, "bad-bundle").err


@pytest.mark.parametrize("kept", [0, 1, 511, 512, 513, 1024, -512, -1])
def test_a_file_that_breaks_off_is_refused(stage: Stage, kept: int) -> None:
    """At any byte before the end mark, which the layout's last member ends in."""
    data = bundle(stage).read_bytes()
    end = -(-len(data.rstrip(b"\0")) // 512) * 512
    file = stage.folder / "cut.tkb"
    file.write_bytes(data[: end + kept if kept < 0 else kept])
    refuses(stage, file, 4, "bad-bundle")
    file.write_bytes(data[:end])
    refuses(stage, file, 4, "bad-bundle")


def test_what_comes_after_the_end_is_refused(stage: Stage) -> None:
    file = bundle(stage)
    with file.open("ab") as more:
        more.write(bytes(511) + b"x")
    refuses(stage, file, 4, "bad-bundle")
    with bundle(stage).open("ab") as more:
        more.truncate(2**40)
    refuses(stage, file, 4, "bad-bundle")


@pytest.mark.parametrize("size", [2**33, 2**62, -1, -(2**40)], ids=["8 GiB", "4 EiB", "minus one", "below nothing"])
def test_a_size_that_the_file_has_not_is_refused(stage: Stage, size: int) -> None:
    info = odd("blobs/sha256/" + "0" * 64, tarfile.REGTYPE, size=size)
    header = info.tobuf(tarfile.GNU_FORMAT)
    data = bundle(stage).read_bytes()
    file = stage.folder / "huge.tkb"
    file.write_bytes(header + data)
    refuses(stage, file, 4, "bad-bundle")


@pytest.mark.parametrize("size", [2**40, 5_000_001])
def test_a_metadata_file_that_says_it_is_huge_is_not_read(stage: Stage, size: int) -> None:
    """A sparse file of a tebibyte costs nothing to carry, and would cost all memory to read."""
    gun, files = stage.gun, served(stage.honest)
    made = members({gun: files}, {stage.ref: ONE})
    index = json.loads(dict(made)["index.json"])
    artifact = json.loads(dict(made)["blobs/sha256/" + index["manifests"][0]["digest"][7:]])
    artifact["layers"][0]["size"] = size
    changed_artifact = json.dumps(artifact).encode()
    index["manifests"][0].update(digest=str(Digest.of(changed_artifact)), size=len(changed_artifact))
    made = changed([*made, blob(changed_artifact)], "index.json", lambda _: json.dumps(index).encode())
    refuses(stage, bundle(stage, made), 4, "bad-bundle")


def test_members_without_end_are_not_gone_through(stage: Stage) -> None:
    """Fifty thousand are the limit; what comes after them is not looked at."""
    header = odd("blobs", tarfile.DIRTYPE).tobuf(tarfile.GNU_FORMAT)
    file = stage.folder / "many.tkb"
    file.write_bytes(header * 60_000)
    assert "50000 members" in refuses(stage, file, 4, "bad-bundle").err


def test_a_compressed_file_is_refused_and_not_unpacked(stage: Stage) -> None:
    file = stage.folder / "app.tkb.gz"
    file.write_bytes(gzip.compress(bytes(64 * 1024 * 1024) + bundle(stage).read_bytes()))
    assert "not compressed" in refuses(stage, file, 4, "bad-bundle").err


@pytest.mark.parametrize("kind", ["nothing", "a folder", "a pipe", "a device"])
def test_what_is_no_file_is_told_at_once(stage: Stage, kind: str) -> None:
    path = {"nothing": stage.folder / "none", "a folder": stage.folder, "a device": Path("/dev/zero")}.get(kind)
    if path is None:
        path = stage.folder / "pipe"
        os.mkfifo(path)
    result = verify(stage, path)
    assert (result.status, result.slug) == (1, "state"), result.err
