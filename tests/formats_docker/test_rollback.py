"""Older files than those that were seen, with every signature and hash in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats_docker.forge import GUN, NOW, Forge, ecdsa, eddsa, role_of, tags
from tests.formats_docker.stand import Attacker, Hosted, Notary
from trustkit.core.formats.docker.evaluate import evaluate
from trustkit.core.formats.docker.rollback import check_not_older
from trustkit.errors import RolledBack


def versions(made: Forge, **numbers: int) -> dict[str, bytes]:
    """The files, with these versions."""
    made.versions = numbers
    files = made.files()
    evaluate(files, GUN, NOW)
    return files


@pytest.fixture
def made() -> Forge:
    forge, key = Forge(), ecdsa()
    forge.delegate(role_of("targets/releases", key[0]), tags("v1"), key)
    return forge


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "targets/releases"])
def test_a_lower_version_of_any_role_is_a_rollback(made: Forge, role: str):
    old, new = versions(made, **{role: 4}), versions(made, **{role: 5})
    check_not_older(new, old, GUN)
    check_not_older(new, new, GUN)
    check_not_older(new, {}, GUN)
    with pytest.raises(RolledBack, match=f"{role} is served in version 4") as raised:
        check_not_older(old, new, GUN)
    assert raised.value.context == {"role": role, "seen": 5, "served": 4}


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "targets/releases"])
def test_numbers_begin_anew_where_the_key_is_another(made: Forge, role: str):
    """TRUST 3.7."""
    new = versions(made, **{role: 2**31 - 1})
    pair = eddsa()
    if role == "targets/releases":
        made.delegate(role_of(role, pair[0]), tags("v1"), pair)
    else:
        made.signers[role] = [pair]
    check_not_older(versions(made, root=2, targets=2), new, GUN)


@pytest.mark.real
@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_notary_says_so_too(made: Forge, role: str, attacker: Attacker, notary_binary: Path, tmp_path: Path):
    notary = Notary(notary_binary, tmp_path, attacker.url, attacker.ca)
    for number, status in ((5, 0), (4, 1)):
        # what is named above has to be newer, or that would be refused
        numbers = {"timestamp": 9 - number, "snapshot": 9 - number} | {role: number}
        files = versions(made, **numbers)
        attacker.hosted = Hosted(files, {1: files["root"]})
        assert notary("list", str(GUN)).status == status
