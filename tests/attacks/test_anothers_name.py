"""A consumer demands that dora has signed, and somebody else signs in her name (TRUST 4.2).

Mallory is a signer, too, and has stolen the online keys: she publishes what no service would take.  She has neither
dora's key nor a repository key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from securesystemslib.signer import Signer
from tuf.api.metadata import Targets

from tests.attacks.collection import now
from tests.attacks.conftest import MakeInsider
from tests.simulator import DAY, LIFE, NOW, Publisher, make_signer, manifest
from trustkit.core.attribution import attributions
from trustkit.core.draft import Draft
from trustkit.core.evaluate import evaluate
from trustkit.core.formats.tuf1 import read, sign
from trustkit.core.names import SignerName, Tag
from trustkit.core.patterns import GunPattern
from trustkit.core.policy import Demand
from trustkit.core.signers import add_signer, replace_signer
from trustkit.core.targets import make_target

DORA, MALLORY = make_signer(), make_signer()
Upload = Mapping[str, bytes]


def _invite(draft: Draft) -> None:
    add_signer(draft, SignerName("dora"), DORA.public_key)
    add_signer(draft, SignerName("mallory"), MALLORY.public_key)


def _sign(publisher: Publisher, tag: str, text: str, signer: Signer) -> dict[str, bytes]:
    """A release as its signer's client makes it: signed in ``releases``, and said so in the signer's own file."""
    draft = Draft(publisher.gun, publisher.files, now=NOW, lifetimes=LIFE)
    draft.put([make_target(Tag(tag), manifest(text), None, now=NOW, keep=30 * DAY)])
    assert draft.attribute(signer.public_key.keyid)
    return {role: sign(signed, publisher.signed(signer)) for role, signed in draft.changed.items()}


def _rewritten(publisher: Publisher, role: str, change: Callable[[Targets], None], *signers: Signer) -> Upload:
    file = read(publisher.files[role], Targets).signed
    file.version += 1
    change(file)
    return {role: sign(file, publisher.signed(*signers))}


@pytest.fixture
def published() -> Publisher:
    """``hers`` is signed by dora, ``evil`` by mallory."""
    made = Publisher()
    made.accept(made.first_upload("latest"))
    made.accept(made.change(_invite))
    made.accept(_sign(made, "hers", "hers", DORA))
    made.accept(_sign(made, "evil", "evil", MALLORY))
    return made


def _demanded(publisher: Publisher, tag: str) -> bool:
    """Whether a consumer who demands dora uses the tag; it has to be trusted at all before."""
    evaluate(publisher.files, publisher.gun, NOW)
    demand = Demand(GunPattern.parse(str(publisher.gun)), (SignerName("dora"),), 1)
    return demand.met(attributions(publisher.files, publisher.gun, NOW).get(Tag(tag), frozenset()))


def test_honestly_a_name_is_met_by_its_own_key(published: Publisher) -> None:
    assert _demanded(published, "hers")
    assert not _demanded(published, "evil")
    assert not _demanded(published, "latest")


def _evil_too(publisher: Publisher) -> Callable[[Targets], None]:
    entry = read(publisher.files["releases"], Targets).signed.targets["evil"]
    return lambda file: file.targets.update({"evil": entry})


@pytest.mark.parametrize("signer", [MALLORY, None], ids=["mallory", "a repository key"])
def test_a_file_of_dora_that_another_key_signed_says_nothing_of_her(
    published: Publisher, signer: Signer | None
) -> None:
    forged = _rewritten(published, "dora", _evil_too(published), signer or published.repository)
    published.install(dict(forged))
    assert not _demanded(published, "evil")
    assert not _demanded(published, "hers")


def test_the_file_of_mallory_under_doras_name_says_nothing_of_her(published: Publisher) -> None:
    published.install({"dora": published.files["mallory"]})
    assert not _demanded(published, "evil")


def test_what_dora_signed_for_another_digest_does_not_count(published: Publisher) -> None:
    """Mallory moves dora's tag; dora's own file still names it, for the digest that it had."""
    published.accept(_sign(published, "hers", "evil", MALLORY))
    assert not _demanded(published, "hers")


def test_an_older_file_of_dora_does_not_count(published: Publisher) -> None:
    older = published.files["dora"]
    published.accept(dict(_rewritten(published, "dora", lambda file: file.targets.clear(), DORA)))
    assert not _demanded(published, "hers")
    published.files["dora"] = older
    assert "hers" not in {tag.name for tag in attributions(published.files, published.gun, NOW)}


def test_doras_key_is_not_exchanged_by_another_signer(published: Publisher, insider: MakeInsider) -> None:
    victim = insider()
    victim.found("latest")
    victim.files["snapshot"] = victim.served()["snapshot"][1]
    victim.taken(victim.change(_invite, now=now()))
    victim.files["snapshot"] = victim.served()["snapshot"][1]
    thief = make_signer()

    def exchange(draft: Draft) -> None:
        replace_signer(draft, SignerName("dora"), thief.public_key, resign=True)

    for signers in ((MALLORY,), (DORA, MALLORY, thief)):
        victim.refused(victim.change(exchange, *signers, now=now()), 400, "bad-signature")
    victim.taken(victim.change(exchange, victim.repository, thief, now=now()))
