"""What a conversion keeps of a collection in format docker, what it names, and what its files then say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import Key
from tuf.api.metadata import TargetFile

from tests.formats_docker.forge import GUN, NOW, Forge, Pair, certified, ecdsa, eddsa, role_of, rsa_pss, tags
from trustkit.core.convertbuild import build_conversion
from trustkit.core.convertplan import ConversionPlan, plan_conversion
from trustkit.core.delegations import read_delegations
from trustkit.core.formats.docker.bare import as_tuf
from trustkit.core.formats.docker.evaluate import evaluate
from trustkit.core.growth import Growth
from trustkit.core.lifetimes import Lifetimes
from trustkit.core.names import Digest
from trustkit.core.targets import read_target, write_target
from trustkit.core.view import SignedTarget, Superseded
from trustkit.errors import BadTarget

OTHER = "cd" * 32


def planned(forge: Forge) -> ConversionPlan:
    files = forge.files()
    return plan_conversion(files, evaluate(files, GUN, NOW), NOW)


def released(*signers: tuple[str, Pair], entries: Mapping[str, TargetFile] | None = None) -> Forge:
    """A collection with these signers, as docker trust signer add makes them."""
    forge = Forge()
    pairs = [pair for _, pair in signers]
    forge.delegate(role_of("targets/releases", *(key for key, _ in pairs)), entries or tags("v2"), *pairs)
    for name, pair in signers:
        forge.delegate(role_of(f"targets/{name}", pair[0]), {}, pair)
    return forge


def names(plan: ConversionPlan) -> dict[str, tuple[str, ...]]:
    return {signer.name: signer.paths for signer in plan.signers}


def left(plan: ConversionPlan) -> dict[str, bool]:
    return {entry.name: entry.consent for entry in plan.left}


def online() -> dict[str, Key]:
    return {role: as_tuf(eddsa()[0]) for role in ("snapshot", "timestamp")}


def test_without_signers_the_tags_stay_in_targets() -> None:
    plan = planned(Forge())
    assert (list(plan.tags), plan.signers, plan.left, plan.problems) == (["v1"], (), (), ())
    made = build_conversion(plan, online(), now=NOW, lifetimes=Lifetimes(), last={}, growth=Growth())
    assert list(made.files) == ["targets"]
    assert made.delegations is None
    assert list(made.files["targets"].targets) == ["v1"]
    assert (made.root.version, made.root.roles["root"].keyids) == (1, list(plan.root_keys))


def test_dockers_signers_sign_on_and_what_they_signed_is_attributed() -> None:
    alice, bob = ecdsa(), ecdsa()
    forge = released(("alice", alice), ("bob", bob), entries=tags("v2", "v3"))
    forge.roles["targets/alice"].targets = tags("v2") | tags("v3", digest=OTHER)
    forge.roles["targets/bob"].targets = tags("v9")
    plan = planned(forge)
    assert names(plan) == {"alice": (), "bob": ()}
    assert {name: sorted(tag.signers) for name, tag in plan.tags.items()} == {"v1": [], "v2": ["alice"], "v3": []}
    assert left(plan) == {"v3": False, "v9": False}
    made = build_conversion(plan, online(), now=NOW, lifetimes=Lifetimes(), last={"releases": 7}, growth=Growth())
    assert sorted(made.files["releases"].targets) == ["v1", "v2", "v3"]
    assert (made.files["releases"].version, made.files["targets"].targets) == (8, {})
    assert {role: list(file.targets) for role, file in made.attributions.items()} == {"alice": ["v2"]}
    delegations = read_delegations(made.files["targets"], made.root)
    assert delegations is not None
    assert [role.name for role in delegations.roles] == ["releases", "alice", "bob"]
    assert set(delegations.releases.key_ids) == {*plan.target_keys, *(signer.key.keyid for signer in plan.signers)}


def test_releases_hides_what_targets_says() -> None:
    plan = planned(released(("alice", ecdsa()), entries=tags("v1", digest=OTHER)))
    assert plan.tags["v1"].target.digest.hex == OTHER


def test_custom_data_stays_and_its_own_member_is_what_trustkit_says_of_a_tag() -> None:
    ours = {"media_type": "application/vnd.oci.image.index.v1+json", "superseded": []}
    forge, entry = Forge(), TargetFile(500, {"sha256": "ab" * 32}, "v1", {"custom": {"n": [1], "x-trustkit": ours}})
    forge.roles["targets"] = forge.targets({"v1": entry, "v2": TargetFile(5, entry.hashes, "v2", {"custom": "word"})})
    plan = planned(forge)
    assert plan.tags["v1"].custom == {"n": [1]}
    assert plan.tags["v1"].target.media_type == ours["media_type"]
    assert [(lost.what, lost.name) for lost in plan.losses] == [("custom", "v2")]
    made = build_conversion(plan, online(), now=NOW, lifetimes=Lifetimes(), last={}, growth=Growth())
    entries = made.files["targets"].targets
    assert entries["v1"].custom == {"n": [1], "x-trustkit": ours}
    assert read_target("v2", entries["v2"], "targets").media_type == ""
    typed = build_conversion(
        plan.typed({"v2": "a/b"}), online(), now=NOW, lifetimes=Lifetimes(), last={}, growth=Growth()
    )
    assert read_target("v2", typed.files["targets"].targets["v2"], "targets").media_type == "a/b"


@pytest.mark.parametrize(
    ("paths", "kept", "lost"),
    [
        pytest.param(("v",), ("v*",), {}, id="a prefix"),
        pytest.param(("v", "rc-"), ("v*", "rc-*"), {}, id="two"),
        pytest.param(("", "v"), (), {}, id="all and one"),
        pytest.param(("v*",), None, {"targets/alice, path 'v*'": False, "targets/alice": True}, id="a star in it"),
        pytest.param(("?",), None, {"targets/alice, path '?'": False, "targets/alice": True}, id="a question mark"),
        pytest.param(("a/",), None, {"targets/alice, path 'a/'": False, "targets/alice": True}, id="no tag"),
        pytest.param(("[v]", "v"), ("v*",), {"targets/alice, path '[v]'": False}, id="brackets and one"),
    ],
)
def test_prefixes_are_patterns_of_the_same_tags_or_none(
    paths: tuple[str, ...], kept: tuple[str, ...] | None, lost: dict[str, bool]
) -> None:
    alice, forge = ecdsa(), Forge()
    forge.delegate(role_of("targets/releases", alice[0]), tags("v2"), alice)
    forge.delegate(role_of("targets/alice", alice[0], paths=paths), {}, alice)
    plan = planned(forge)
    assert names(plan) == ({} if kept is None else {"alice": kept})
    assert left(plan) == lost


def test_a_limited_signer_answers_alone_and_signs_nothing_else() -> None:
    alice, bob, forge = ecdsa(), ecdsa(), Forge()
    forge.delegate(role_of("targets/releases", alice[0], bob[0]), tags("v2", "w1"), alice, bob)
    forge.delegate(role_of("targets/alice", alice[0], paths=("v",)), {}, alice)
    forge.delegate(role_of("targets/bob", bob[0]), {}, bob)
    plan = planned(forge)
    made = build_conversion(plan, online(), now=NOW, lifetimes=Lifetimes(), last={}, growth=Growth())
    assert {role: sorted(file.targets) for role, file in made.files.items()} == {
        "targets": [], "alice": ["v1", "v2"], "releases": ["w1"],
    }  # fmt: skip
    assert made.delegations is not None
    assert plan.signers[0].key.keyid not in made.delegations.releases.key_ids


def _attributes_only(forge: Forge) -> None:
    forge.delegate(role_of("targets/carol", (pair := ecdsa())[0]), {}, pair)


def _nested(forge: Forge) -> None:
    pair = ecdsa()
    forge.delegate(role_of("targets/alice/deep", pair[0]), {}, pair)


def _rival(forge: Forge) -> None:
    for name in ("eve", "fay"):
        pair = ecdsa()
        _let_release(forge, pair)
        forge.delegate(role_of(f"targets/{name}", pair[0], paths=("v1",) if name == "fay" else ("v",)), {}, pair)


def _p521(forge: Forge) -> None:
    pair = ecdsa(ec.SECP521R1())
    _let_release(forge, pair)
    forge.delegate(role_of("targets/dan", pair[0]), {}, pair)


def _let_release(forge: Forge, pair: Pair) -> None:
    above = forge.roles["targets"].delegations
    assert above is not None
    assert above.roles is not None
    above.roles["targets/releases"].keyids.append(pair[0].keyid)
    above.keys[pair[0].keyid] = pair[0]


@pytest.mark.parametrize(
    ("more", "lost"),
    [
        pytest.param(_attributes_only, "targets/carol", id="a key that grants nothing"),
        pytest.param(_nested, "targets/alice/deep", id="a delegation of a delegation"),
        pytest.param(_rival, "targets/fay", id="paths that another one has"),
        pytest.param(_p521, "targets/dan", id="a curve that TUF clients don't have"),
    ],
)
def test_nobody_may_sign_more_and_what_is_lost_takes_consent(more: Callable[[Forge], None], lost: str) -> None:
    forge = released(("alice", ecdsa()))
    more(forge)
    plan = planned(forge)
    assert [entry.name for entry in plan.losses] == [lost]
    assert lost.rpartition("/")[2] not in names(plan)
    made = build_conversion(plan, online(), now=NOW, lifetimes=Lifetimes(), last={}, growth=Growth())
    assert read_delegations(made.files["targets"], made.root) is not None
    assert {tag for file in made.files.values() for tag in file.targets} == {"v1", "v2"}


def test_keys_without_a_name_get_one_and_one_key_counts_once() -> None:
    alice, nobody, repository, forge = ecdsa(), rsa_pss(), ecdsa(), Forge()
    forge.signers["targets"] = [repository]
    forge.delegate(
        role_of("targets/releases", alice[0], nobody[0], repository[0]), tags("v2"), alice, nobody, repository
    )
    for name in ("alice", "alias"):
        forge.delegate(role_of(f"targets/{name}", alice[0]), {}, alice)
    forge.delegate(role_of("targets/_odd", nobody[0]), {}, nobody)
    forge.delegate(role_of("targets/admin", repository[0]), {}, repository)
    plan = planned(forge)
    assert set(names(plan)) == {"alice", f"signer-{nobody[0].canonical_id[:16]}"}
    assert left(plan) == {"targets/alias": False, "targets/admin": False}


def test_what_has_to_be_mended_first() -> None:
    forge = Forge(thresholds={})
    forge.signers["targets"] = [ecdsa(ec.SECP521R1())]
    pair, other = ecdsa(), ecdsa()
    forge.delegate(role_of("targets/releases", pair[0], other[0], paths=("v",)), tags("v2"), pair, other)
    forge.delegate(role_of("targets/both", pair[0], other[0], threshold=2), {}, pair, other)
    plan = planned(forge)
    words = " ".join(plan.problems)
    assert "P-521" in words
    assert "releases may sign 'v' only" in words
    assert "targets/both takes 2 signatures" in words
    assert len(plan.problems) == 3


def test_thresholds_stay_and_one_repository_key_never_gets_enough() -> None:
    keys = [certified(gun=GUN) for _ in range(2)]
    alice, repository = ecdsa(), [ecdsa(), ecdsa()]
    forge = Forge(signers={"root": keys, "targets": repository}, thresholds={"root": 2, "targets": 2})
    forge.delegate(role_of("targets/releases", alice[0]), tags("v2"), alice)
    plan = planned(forge)
    made = build_conversion(plan, online(), now=NOW, lifetimes=Lifetimes(), last={}, growth=Growth())
    roles = made.root.roles
    assert (roles["root"].threshold, roles["targets"].threshold) == (2, 2)
    assert made.delegations is not None
    assert not set(made.delegations.releases.key_ids) & set(plan.target_keys)


def test_what_the_layout_says_of_custom_data() -> None:
    moment = datetime(2030, 1, 1, tzinfo=NOW.tzinfo)
    old = (Superseded(Digest.from_hex(OTHER), moment + timedelta(days=1)),)
    target = SignedTarget(next(iter(evaluate(Forge().files(), GUN, NOW).targets)), Digest.from_hex("ab" * 32), 5, "",
                          "targets", old)  # fmt: skip
    entry = write_target(target, {"x-trustkit": "theirs", "theirs": {"x-trustkit": 1}})
    assert read_target("v1", entry, "targets") == target
    assert entry.custom["theirs"] == {"x-trustkit": 1}
    for wrong in ({}, {"x-trustkit": []}, {"x-trustkit": {"superseded": [], "media_type": ""}}, None):
        entry.unrecognized_fields = {"custom": wrong}
        with pytest.raises(BadTarget):
            read_target("v1", entry, "targets")
