"""Which root in format tuf the keys of a pin in format docker lead to, and which they don't."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Root

from tests.formats_docker.forge import GUN, RSA_2048, Forge, Pair, certified
from tests.simulator import Publisher, make_signer
from trustkit.core.formats.docker.bare import as_tuf
from trustkit.core.formats.docker.conversion import PinnedKeys, follows, is_last, pinned_keys
from trustkit.core.formats.docker.files import read
from trustkit.core.names import Gun
from trustkit.core.ports.remote import Pin

KINDS = {"P-256": None, "P-384": ec.generate_private_key(ec.SECP384R1()), "RSA": RSA_2048}


def bare(pair: Pair) -> Signer:
    return CryptoSigner(pair[1].private, as_tuf(pair[0]))  # type: ignore[attr-defined]  # a RawSigner of the forge


def root_by(*signers: Signer, listed: Sequence[Signer] = ()) -> bytes:
    """A root of the GUN that the first of these founds and all of them sign."""
    made = Publisher(GUN, root=signers[0])
    made.files = made.first_upload()

    def change(root: Root) -> None:
        root.version = 1
        for each in (*signers[1:], *listed):
            root.add_key(each.public_key, "root")

    return made.change_root(change, *signers)["root"]


def docker_root(*pairs: Pair, last: bool = False) -> bytes:
    return Forge(signers={"root": list(pairs)}, last=last).files()["root"]


def pin(*ids: str, threshold: int = 0) -> Pin:
    return Pin(str(GUN), key_ids=ids, threshold=threshold or len(ids), format="docker")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", ["certificate", "bare key"])
def test_the_very_key_of_the_pinned_certificate(kind: str, by: str) -> None:
    pair = certified(KINDS[kind])
    served = docker_root(pair)
    pinned = pinned_keys(pin(pair[0].keyid if by == "certificate" else pair[0].canonical_id), [served])
    assert follows(pinned, root_by(bare(pair)), GUN)
    assert not follows(pinned, root_by(make_signer(), listed=[bare(pair)]), GUN)
    assert not follows(pinned, root_by(bare(certified())), GUN)


def test_a_root_of_another_collection() -> None:
    """One root key has many collections (TRUST 1.3)."""
    pair = certified()
    pinned = pinned_keys(pin(pair[0].keyid), [docker_root(pair)])
    assert not follows(pinned, root_by(bare(pair)), Gun.parse(f"{GUN}2"))


def test_another_certificate_of_the_same_key_is_the_same_key() -> None:
    """Certificates are made anew; the key that signs is what counts (TRUST 2.1)."""
    private = ec.generate_private_key(ec.SECP256R1())
    old, new = certified(private), certified(private)
    assert old[0].keyid != new[0].keyid
    assert follows(pinned_keys(pin(old[0].keyid), [docker_root(old)]), root_by(bare(new)), GUN)


def test_a_certificate_that_nobody_has_leads_nowhere() -> None:
    pair = certified()
    pinned = pinned_keys(pin(pair[0].keyid), [docker_root(certified()), b"<html>", b""])
    assert not follows(pinned, root_by(bare(pair)), GUN)


def test_one_key_under_two_pinned_ids_counts_once() -> None:
    pair, other = certified(), certified()
    both = pinned_keys(pin(pair[0].keyid, pair[0].canonical_id), [docker_root(pair)])
    assert not follows(both, root_by(bare(pair)), GUN)
    two = pinned_keys(pin(pair[0].keyid, other[0].keyid), [docker_root(pair, other)])
    assert not follows(two, root_by(bare(pair), listed=[bare(other)]), GUN)
    assert follows(two, root_by(bare(pair), bare(other)), GUN)


def test_a_pinned_root_file_asks_for_its_own_threshold() -> None:
    first, second = certified(), certified()
    forge = Forge(signers={"root": [first, second]}, thresholds={"root": 2})
    pinned = pinned_keys(Pin(str(GUN), root=forge.files()["root"], format="docker"), [])
    assert pinned == PinnedKeys(frozenset({first[0].canonical_id, second[0].canonical_id}), 2)
    assert not follows(pinned, root_by(bare(first)), GUN)
    assert follows(pinned, root_by(bare(first), bare(second)), GUN)


def test_authorities_have_no_keys() -> None:
    pair = certified()
    nobody = pinned_keys(Pin(str(GUN), authorities=b"...", format="docker"), [docker_root(pair)])
    assert not follows(nobody, root_by(bare(pair)), GUN)
    assert not follows(PinnedKeys(nobody.ids, 0), root_by(bare(pair)), GUN)


def test_what_is_no_root_leads_nowhere() -> None:
    pair = certified()
    pinned = pinned_keys(pin(pair[0].canonical_id), [])
    good = root_by(bare(pair))
    assert follows(pinned, good, GUN)
    for data in (b"", b"{}", docker_root(pair), good[:-1], good.replace(b'"version":1', b'"version":2')):
        assert not follows(pinned, data, GUN)


@pytest.mark.parametrize("last", [False, True])
def test_the_mark_is_in_the_signed_part_and_reads_back(last: bool) -> None:
    assert is_last(read(docker_root(certified(), last=last), Root).signed) == last
