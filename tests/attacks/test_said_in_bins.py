"""What a signer says that it signed, in bins of its own: made, read, and what is refused of them (TRUST 4.2, 4.3).

Each attacker has keys that count for something.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner, Signer

from tests.simulator import DAY, LIFE, NOW, Publisher, edited, make_signer, manifest
from tests.stock import StockClient
from trustkit.core.attribution import attributions
from trustkit.core.bundles import MAX_FILES, collection_manifest, read_collection
from trustkit.core.draft import Draft
from trustkit.core.evaluate import evaluate
from trustkit.core.formats.tuf1 import sign
from trustkit.core.growth import Growth
from trustkit.core.judge import judge, judge_start
from trustkit.core.names import SignerName, Tag
from trustkit.core.onlinejudge import check_delegated
from trustkit.core.rotation import rotate_signer
from trustkit.core.signers import add_signer, remove_signer, replace_signer, signed_alone
from trustkit.core.targets import make_target
from trustkit.errors import BadDelegation, BadSignature, BadVersion, Conflict, Rejected, UsageError

FEW = Growth(above=5, bits=3)
TAGS = [f"v{number}" for number in range(8)]
DORA, EMIL = make_signer(), make_signer()


def by(
    publisher: Publisher, signer: CryptoSigner, *tags: str, text: str = "", growth: Growth = FEW
) -> dict[str, bytes]:
    """What a signer uploads who signs these tags."""
    draft = Draft(publisher.gun, publisher.files, now=NOW, lifetimes=LIFE)
    draft.put([make_target(Tag(tag), manifest(text or tag), None, now=NOW, keep=30 * DAY) for tag in tags])
    draft.grow(growth)
    draft.attribute(signer.public_key.keyid, growth)
    draft.settle()
    signing = publisher.signed(signer)
    return {role: sign(file, signing) for role, file in draft.changed.items()}


def said(publisher: Publisher) -> dict[str, set[str]]:
    """By tag whose own key has signed it; none where nobody's has."""
    evaluate(publisher.files, publisher.gun, NOW)
    return {tag.name: set(names) for tag, names in attributions(publisher.files, publisher.gun, NOW).items()}


def files_of(publisher: Publisher, prefix: str = "bins-2-") -> list[str]:
    return sorted(role for role in publisher.files if role.startswith(prefix))


@pytest.fixture
def people() -> Publisher:
    """A collection in bins; dora has signed six tags of it, which she says in bins of her own, and emil one."""
    publisher = Publisher()
    publisher.accept(publisher.first_upload())
    for name, signer in {"dora": DORA, "emil": EMIL}.items():
        publisher.accept(publisher.change(lambda d, n=name, s=signer: add_signer(d, SignerName(n), s.public_key)))
    publisher.accept(by(publisher, DORA, *TAGS[:6]))
    publisher.accept(by(publisher, EMIL, TAGS[6]))
    return publisher


def test_a_signers_file_is_divided_with_the_tags(people: Publisher, tmp_path: Path) -> None:
    assert said(people) == {**{tag: {"dora"} for tag in TAGS[:6]}, TAGS[6]: {"emil"}}
    assert json.loads(people.files["dora"])["signed"]["targets"] == {}
    assert 0 < len(files_of(people)) <= 6
    assert "succinct_roles" not in people.files["emil"].decode()
    upload = by(people, DORA, TAGS[7])
    assert len(upload) == 2
    assert "dora" not in upload
    assert people.accept(upload).holders == {role: "dora" for role in upload if role.startswith("bins-2-")}
    assert said(people)[TAGS[7]] == {"dora"}
    client = StockClient(people, tmp_path / "stock")
    assert client.digests(TAGS) == {tag: manifest(tag).digest.hex for tag in TAGS}


def test_a_flat_file_beside_bins_is_divided_by_the_next_signature(people: Publisher, tmp_path: Path) -> None:
    """As in collections whose tags were put into bins before signers' files were."""
    client = StockClient(people, tmp_path / "stock")
    people.accept(by(people, EMIL, *TAGS[:6], text="emil's", growth=Growth(above=0)))
    assert client.digests(TAGS[:2])
    assert len(json.loads(people.files["emil"])["signed"]["targets"]) == 7
    people.accept(by(people, EMIL, TAGS[7]))
    assert json.loads(people.files["emil"])["signed"]["targets"] == {}
    assert files_of(people, "bins-3-")
    assert said(people) == {tag: {"emil"} for tag in TAGS}
    emils = manifest("emil's").digest.hex
    assert client.digests(TAGS) == {tag: emils if tag in TAGS[:6] else manifest(tag).digest.hex for tag in TAGS}


def test_who_signs_has_said_it_of_that_digest_alone(people: Publisher) -> None:
    people.accept(by(people, EMIL, "v1", text="emil's own"))
    assert said(people)["v1"] == {"emil"}
    people.accept(by(people, DORA, "v1", text="dora's again"))
    assert said(people)["v1"] == {"dora"}
    draft = Draft(people.gun, people.files, now=NOW, lifetimes=LIFE)
    assert signed_alone(draft, SignerName("dora")) == set(TAGS[:6])
    people.accept(people.change(lambda draft: remove_signer(draft, SignerName("dora"), resign=False)))
    assert {tag.name for tag in evaluate(people.files, people.gun, NOW).targets} == {TAGS[6]}


def test_a_removed_signer_that_comes_back_says_what_it_said(people: Publisher) -> None:
    people.accept(people.change(lambda draft: remove_signer(draft, SignerName("dora"), resign=True)))
    assert said(people) == {TAGS[6]: {"emil"}}
    people.accept(people.change(lambda draft: add_signer(draft, SignerName("dora"), DORA.public_key)))
    assert said(people)["v0"] == {"dora"}


def test_another_key_of_the_same_name_says_nothing_of_what_the_first_one_signed(people: Publisher) -> None:
    """Somebody else gets the name and signs one tag: the others aren't theirs by that."""
    new = make_signer()
    people.accept(people.change(lambda d: replace_signer(d, SignerName("dora"), new.public_key, resign=True)))
    assert said(people) == {TAGS[6]: {"emil"}}
    people.accept(by(people, new, TAGS[7]))
    assert said(people) == {TAGS[6]: {"emil"}, TAGS[7]: {"dora"}}
    people.accept(by(people, new, *TAGS[:5], text="new"))
    assert files_of(people, "bins-3-")
    assert said(people) == {**{tag: {"dora"} for tag in TAGS[:5]}, TAGS[6]: {"emil"}, TAGS[7]: {"dora"}}


def test_a_rotation_says_it_anew_by_the_new_key(people: Publisher) -> None:
    new = make_signer()

    def edit(draft: Draft) -> None:
        rotate_signer(draft, SignerName("dora"), DORA.public_key.keyid, new.public_key, signs_here=True)

    upload = people.change(edit, people.root, people.repository, new)
    assert set(files_of(people)) <= set(upload)
    people.accept(upload)
    assert said(people) == {**{tag: {"dora"} for tag in TAGS[:6]}, TAGS[6]: {"emil"}}
    people.accept(by(people, new, TAGS[7]))
    assert said(people)[TAGS[7]] == {"dora"}


Attack = Callable[[Publisher], tuple[dict[str, bytes], type[Rejected], str]]


def _next(
    publisher: Publisher, role: str, change: Callable[[dict[str, Any]], None], *keys: Signer
) -> dict[str, bytes]:
    def whole(value: dict[str, Any]) -> None:
        value["signed"]["version"] += 1
        change(value["signed"])

    return {role: edited(publisher.files[role], whole, resign=publisher.signed(*keys))}


def _bins(publisher: Publisher) -> Any:
    return Draft(publisher.gun, publisher.files, now=NOW, lifetimes=LIFE).said["dora"]


def _bin(publisher: Publisher) -> str:
    name: str = _bins(publisher).of("v1")
    return name


def _emil_signs_doras_bin(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    return _next(publisher, _bin(publisher), lambda _: None, EMIL), BadSignature, "signature"


def _owner_signs_doras_bin(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    return _next(publisher, _bin(publisher), lambda _: None, publisher.repository), BadSignature, "signature"


def _an_old_file_as_a_bin(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    old = json.loads(publisher.files[_bin(publisher)])
    flat = {"dora": publisher.files["dora"]}
    file = _next(publisher, "dora", lambda s: (s.update(old["signed"], version=2), s.pop("x-trustkit-role")), DORA)
    assert flat
    return {_bin(publisher): file["dora"]}, BadDelegation, "no bin"


def _another_bin_as_this_one(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    other = next(name for name in files_of(publisher) if name != _bin(publisher))
    return {_bin(publisher): _next(publisher, other, lambda _: None, DORA)[other]}, BadDelegation, "says that it is"


def _a_bin_as_the_file(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    version = json.loads(publisher.files["dora"])["signed"]["version"]
    name = _bin(publisher)
    return (
        {"dora": _next(publisher, name, lambda s: s.update(version=version + 1), DORA)[name]},
        BadDelegation,
        "says",
    )


def _a_tag_of_another_bin(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    entry = json.loads(publisher.files[_bin(publisher)])["signed"]["targets"]
    other = next(name for name in files_of(publisher) if name != _bin(publisher))
    return _next(publisher, other, lambda s: s["targets"].update(entry), DORA), BadDelegation, "is for"


def _back_to_one_file(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    return _next(publisher, "dora", lambda s: s.pop("delegations"), DORA), BadDelegation, "stays there"


def _other_bins(publisher: Publisher, prefix: str, who: str = "dora", **more: Any) -> dict[str, bytes]:
    """A signer's file with bins of another name, and one of them."""
    key = {"dora": DORA, "emil": EMIL}[who]
    roles = {
        "keyids": [key.public_key.keyid],
        "threshold": 1,
        "bit_length": 3,
        "name_prefix": prefix,
        **more,
    }
    keys = {key_id: {**DORA.public_key.to_dict(), **EMIL.public_key.to_dict()} for key_id in roles["keyids"]}
    keys = {s.public_key.keyid: s.public_key.to_dict() for s in (DORA, EMIL) if s.public_key.keyid in keys}
    head = _next(
        publisher, who, lambda s: s.update(targets={}, delegations={"keys": keys, "succinct_roles": roles}), key
    )

    def first(signed: dict[str, Any]) -> None:
        signed.update({"version": 1, "targets": {}, "x-trustkit-role": f"{prefix}-0"})

    return head | {f"{prefix}-0": _next(publisher, _bin(publisher), first, key)[_bin(publisher)]}


def _new_bins_again(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    return _other_bins(publisher, "bins-3"), BadDelegation, "stays there"


def _the_name_of_the_tags_bins(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    upload = _other_bins(publisher, "bins-1", "emil")
    del upload["bins-1-0"]
    return upload, BadDelegation, "in use"


def _the_name_of_anothers_bins(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    upload = _other_bins(publisher, "bins-2", "emil")
    del upload["bins-2-0"]
    return upload, BadDelegation, "in use"


def _the_last_name_that_there_is(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    """Nobody could be given bins any more after that."""
    return _other_bins(publisher, "bins-999999", "emil"), BadDelegation, "is the next"


def _a_key_more(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    both = [DORA.public_key.keyid, EMIL.public_key.keyid]
    return _other_bins(publisher, "bins-3", "emil", keyids=both), BadDelegation, "other keys"


def _another_key(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    return _other_bins(publisher, "bins-3", "emil", keyids=[DORA.public_key.keyid]), BadDelegation, "other keys"


def _too_many_bins(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    return _other_bins(publisher, "bins-3", "emil", bit_length=11), BadDelegation, "too many"


def _bins_without_any(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    upload = _other_bins(publisher, "bins-3", "emil")
    return {"emil": upload["emil"]}, BadDelegation, "none has come"


def _a_bin_of_nobodys(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    upload = _other_bins(publisher, "bins-3", "emil")
    return {"bins-3-0": upload["bins-3-0"]}, BadDelegation, "Nothing delegates"


def _the_same_bin_once_more(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    return {_bin(publisher): publisher.files[_bin(publisher)]}, Conflict, "already"  # type: ignore[return-value]


def _a_bin_that_leaps(publisher: Publisher) -> tuple[dict[str, bytes], type[Rejected], str]:
    return _next(publisher, _bin(publisher), lambda s: s.update(version=9), DORA), BadVersion, "can't follow"


ATTACKS: tuple[Attack, ...] = (
    _emil_signs_doras_bin,
    _owner_signs_doras_bin,
    _an_old_file_as_a_bin,
    _another_bin_as_this_one,
    _a_bin_as_the_file,
    _a_tag_of_another_bin,
    _back_to_one_file,
    _new_bins_again,
    _the_name_of_the_tags_bins,
    _the_name_of_anothers_bins,
    _the_last_name_that_there_is,
    _a_key_more,
    _another_key,
    _too_many_bins,
    _bins_without_any,
    _a_bin_of_nobodys,
    _the_same_bin_once_more,
    _a_bin_that_leaps,
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__.strip("_"))
def test_the_judge_refuses(people: Publisher, attack: Attack) -> None:
    upload, error, words = attack(people)
    with pytest.raises(error, match=words):
        judge(people.state, upload, now=NOW, lifetimes=LIFE)
    seen = {role for role in upload if role.startswith("bins-")}
    files = {r: d for r, d in people.state.files.items() if not r.startswith("bins-") or r in seen}
    with pytest.raises(error, match=words):  # as the service has it, which reads no other bins
        judge(replace(people.state, files=files, whole=False), upload, now=NOW, lifetimes=LIFE)
    with pytest.raises(error, match=words):
        judge_start(people.state, upload, now=NOW, lifetimes=LIFE)


READERS: dict[str, Callable[[Publisher, dict[str, bytes]], dict[str, bytes]]] = {
    "signed by another signer": lambda p, _: _next(p, _bin(p), lambda s: s.update(version=1), EMIL),
    "signed by the owner": lambda p, _: _next(p, _bin(p), lambda s: s.update(version=1), p.repository),
    "an old flat file": lambda p, old: {_bin(p): old["dora"]},
    "an older version than the snapshot names": lambda p, old: {_bin(p): old[_bin(p)]},
    "another bin": lambda p, _: {_bin(p): next(p.files[n] for n in files_of(p) if n != _bin(p))},
    "no file": lambda p, _: {_bin(p): b""},
    "a head by another key": lambda p, _: _next(p, "dora", lambda s: s.update(version=s["version"] - 1), EMIL),
}


@pytest.mark.parametrize("case", READERS)
def test_what_a_thief_of_the_online_keys_serves_says_nothing(people: Publisher, case: str) -> None:
    """Each counts as if that file weren't there: what isn't said is said by nobody, and a policy refuses the tag."""
    old = dict(people.files)
    people.accept(by(people, DORA, "v1", text="newer"))
    assert said(people)["v1"] == {"dora"}
    served = {**people.files, **READERS[case](people, old)}
    assert "v1" not in {tag.name for tag in attributions(served, people.gun, NOW)}


def test_a_bin_that_has_expired_says_nothing(people: Publisher) -> None:
    later = NOW + LIFE.default["targets"] + timedelta(days=1)
    assert not attributions(people.files, people.gun, later)


def test_a_separate_signer_holds_bins_to_their_signers_key(people: Publisher) -> None:
    changed = people.files.keys() - {"root", "targets", "snapshot", "timestamp"}
    check_delegated(people.files, changed)
    forged = _next(people, _bin(people), lambda _: None, EMIL)
    with pytest.raises(BadSignature):
        check_delegated({**people.files, **forged}, forged.keys())
    with pytest.raises(BadDelegation):
        check_delegated({**people.files, "bins-7-0": people.files[_bin(people)]}, {"bins-7-0"})


def test_a_bin_made_after_the_backup_jumps_with_its_signers_file(people: Publisher) -> None:
    """The database came from a backup: consumers have seen a bin that the service never heard of."""
    lost = by(people, DORA, TAGS[7])
    (name,) = [role for role in lost if role.startswith("bins-2-")]
    if name in people.files:
        del people.files[name]
    ceilings = {role: 1_000 for role in people.state.files if role != "root"}
    state = replace(people.state, ceilings=ceilings)
    far = {name: edited(lost[name], lambda v: v["signed"].update(version=1_000), resign=people.signed(DORA))}
    assert judge(state, far, now=NOW, lifetimes=LIFE).jumped == {name}
    with pytest.raises(BadVersion):
        judge(replace(state, ceilings={}), far, now=NOW, lifetimes=LIFE)


def test_a_bundle_holds_the_bins_of_a_dozen_signers_and_refuses_more() -> None:
    names = [
        f"{number % 900 + 1}.bins-{number // 1024 + 1}-{number % 1024:03x}.json" for number in range(MAX_FILES + 1)
    ]
    made = collection_manifest(dict.fromkeys(names[:-1], b"x"))
    assert len(read_collection(made.data)[1]) == MAX_FILES >= 13 * 1024
    with pytest.raises(UsageError, match="fit a bundle"):
        collection_manifest(dict.fromkeys(names, b"x"))
