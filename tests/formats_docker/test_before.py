"""What is known before an evaluation saves it work, and changes nothing that it comes to."""

from __future__ import annotations

import pytest
from tuf.api.metadata import Root, Snapshot, TargetFile, Timestamp

from tests.formats_docker.forge import GUN, NOW, Forge, ecdsa, role_of, tags
from trustkit.core.formats.docker import files
from trustkit.core.formats.docker.before import Before, CertifiedRoots
from trustkit.core.formats.docker.evaluate import evaluate, evaluate_but_expiry
from trustkit.core.formats.docker.files import read
from trustkit.core.manifests import OCI_INDEX
from trustkit.core.names import Gun
from trustkit.core.roots import ONLINE
from trustkit.errors import SignatureInvalid, WrongCollection

OTHER = Gun.parse("localhost:5000/team/other")
OURS = {"x-trustkit": {"media_type": OCI_INDEX, "superseded": []}}


def test_a_root_is_remembered_for_its_bytes_and_its_collection_alone() -> None:
    forge, before = Forge(), Before(CertifiedRoots(10_000))
    honest = forge.files()
    ((key, _),) = forge.signers["root"]
    forged = files.sign(forge.root, [(key, ecdsa()[1])], verified_later=True)
    for _ in range(2):
        assert evaluate_but_expiry(honest, GUN, NOW, fresh=(), before=before) == evaluate(honest, GUN, NOW)
        with pytest.raises(WrongCollection):
            evaluate_but_expiry(honest, OTHER, NOW, fresh=(), before=before)
        with pytest.raises(SignatureInvalid, match="root"):
            evaluate_but_expiry(honest | {"root": forged}, GUN, NOW, fresh=(), before=before)


def test_what_is_remembered_of_roots_stays_small() -> None:
    first, second = Forge().files()["root"], Forge().files()["root"]
    remembering = CertifiedRoots(max(len(first), len(second)))
    for data in (first, second):
        remembering(read(data, Root), data, GUN, None)
    assert remembering.remembered == {second}


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(TargetFile(500, {"sha256": "ab" * 32}, "v1"), id="the same"),
        pytest.param(TargetFile(500, {"sha256": "cd" * 32}, "v1"), id="another digest"),
        pytest.param(TargetFile(501, {"sha256": "ab" * 32}, "v1"), id="another length"),
        pytest.param(TargetFile(500, {"sha512": "ab" * 64}, "v1"), id="no sha256"),
        pytest.param(TargetFile(500, {"sha256": "ab" * 32}, "v1", {"custom": OURS}), id="a media type"),
        pytest.param(TargetFile(500, {"sha256": "ab" * 32}, "v1", {"custom": {"other": 1}}), id="custom data"),
    ],
)
@pytest.mark.parametrize("was", [None, OURS], ids=["was plain", "had a media type"])
@pytest.mark.parametrize("moved", [False, True], ids=["in targets", "in releases now"])
def test_what_was_said_of_a_tag_counts_for_what_says_the_same(
    entry: TargetFile, was: dict[str, object] | None, *, moved: bool
) -> None:
    forge = Forge()
    old = TargetFile(500, {"sha256": "ab" * 32}, "v1", {"custom": was} if was else None)
    forge.roles["targets"].targets = {**tags("v2"), "v1": old}
    then = forge.files()
    view = evaluate(then, GUN, NOW)
    if moved:
        alice = ecdsa()
        forge.delegate(role_of("targets/releases", alice[0]), {"v1": entry}, alice)
    else:
        forge.roles["targets"].targets["v1"] = entry
    now = forge.files()
    before = Before(files=then, view=view)
    assert evaluate_but_expiry(now, GUN, NOW, fresh=(), before=before) == evaluate(now, GUN, NOW)


def test_tags_are_taken_as_they_were_where_every_file_that_decides_about_them_is_the_same() -> None:
    forge, alice = Forge(), ecdsa()
    forge.roles["targets"].targets = tags("v1", "v2")
    forge.delegate(role_of("targets/releases", alice[0]), tags("v1", digest="cd" * 32), alice)
    then = forge.files()
    before = Before(files=then, view=evaluate(then, GUN, NOW))

    def renewed(**others: bytes) -> dict[str, bytes]:
        """The same with these, and a new snapshot and timestamp; a role that comes without bytes isn't named."""
        now = {role: data for role, data in {**then, **others}.items() if role not in ONLINE}
        named = {files.meta_name(role): files.meta_of(data) for role, data in now.items() if data}
        now["snapshot"] = files.sign(Snapshot(2, None, forge.expires, named), forge.signers["snapshot"])
        meta = files.meta_of(now["snapshot"])
        now["timestamp"] = files.sign(Timestamp(2, None, forge.expires, meta), forge.signers["timestamp"])
        return now

    def are_those_of_then(now: dict[str, bytes]) -> bool:
        found = evaluate_but_expiry(now, GUN, NOW, fresh=(), before=before)
        assert found == evaluate(now, GUN, NOW)
        assert before.view
        return found.targets is before.view.targets

    assert are_those_of_then(then)
    assert are_those_of_then(renewed())
    again = forge.files()  # which says the same, in other bytes
    assert not are_those_of_then(renewed(root=again["root"]))
    assert not are_those_of_then(renewed(targets=again["targets"]))
    forge.roles["targets"].targets = tags("v1")
    assert not are_those_of_then(renewed(targets=forge.files()["targets"]))
    assert not are_those_of_then(renewed(**{"targets/releases": b""}))
