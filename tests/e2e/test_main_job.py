"""The main job on the embedded default, typed as a user types it: sign, publish, verify, pull, revoke, roles."""

from __future__ import annotations

import json
from pathlib import Path

from tests.service import Person, RunningService, run


def test_sign_verify_pull_and_revoke(service: RunningService, alice: Person, carol: Person, tmp_path: Path) -> None:
    gun = f"{service.host}/main/app"
    stable = alice.push(f"{gun}:stable")
    latest = alice.push(f"{gun}:latest", architectures=("amd64", "arm64"))
    alice.push(f"{gun}:dev")
    signed = alice("sign", f"{gun}:stable", f"{gun}:latest")
    assert (signed.status, signed.out.split()) == (0, [f"{gun}:stable@{stable}", f"{gun}:latest@{latest}"])

    unpinned = carol("verify", f"{gun}:stable")
    assert (unpinned.status, unpinned.slug, unpinned.out) == (3, "no-pin", "")
    assert carol("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    checked = carol("verify", f"{gun}:stable", f"{gun}:dev", f"{gun}:latest")
    assert checked.out.split() == [f"{gun}:stable@{stable}", f"{gun}:latest@{latest}"]
    assert (checked.status, checked.slug) == (3, "unsigned")
    assert carol("verify", f"{gun}@{latest}").out.strip() == f"{gun}:latest@{latest}"
    moved = carol("verify", f"{gun}:stable@{latest}")
    assert (moved.status, moved.slug) == (3, "tag-moved")

    pulled = carol("pull", f"{gun}:latest", "--to", f"oci:{tmp_path / 'out'}")
    assert (pulled.status, pulled.out.strip()) == (0, f"{gun}:latest@{latest}")
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert [entry["digest"] for entry in index["manifests"]] == [latest]

    assert alice("revoke", f"{gun}:stable").status == 0
    revoked = carol("verify", f"{gun}:stable")
    assert (revoked.status, revoked.slug) == (3, "unsigned")
    again = alice("revoke", f"{gun}:stable")
    assert (again.status, again.slug) == (3, "unsigned")


def test_a_later_sign_asks_for_the_repository_key_only(service: RunningService, alice: Person) -> None:
    gun, other = f"{service.host}/keys/one", f"{service.host}/keys/two"
    alice.push(f"{gun}:a"), alice.push(f"{gun}:b"), alice.push(f"{other}:a")
    assert alice("sign", f"{gun}:a").status == 0
    no_root = {"TRUSTKIT_ROOT_PASSPHRASE": ""}
    assert alice("sign", f"{gun}:b", environ=no_root).status == 0
    refused = alice("sign", f"{other}:a", environ=no_root)
    assert (refused.status, refused.slug) == (6, "no-passphrase"), "a second collection takes the root key"
    assert alice("sign", f"{other}:a").status == 0
    keys = json.loads(alice("key", "list", "--format", "json").out)
    repository = {key["gun"]: key["id"] for key in keys if key["role"] == "repository"}
    assert len({repository[gun], repository[other]}) == 2, "each collection has a repository key of its own"
    assert sum(key["role"] == "root" for key in keys) == 1


def test_a_wrong_passphrase_is_a_status_of_its_own_and_signs_nothing(service: RunningService, alice: Person) -> None:
    gun = f"{service.host}/keys/three"
    alice.push(f"{gun}:a"), alice.push(f"{gun}:b")
    assert alice("sign", f"{gun}:a").status == 0
    wrong = alice("sign", f"{gun}:b", environ={"TRUSTKIT_REPOSITORY_PASSPHRASE": "not the passphrase"})
    assert (wrong.status, wrong.slug) == (6, "wrong-passphrase")
    assert "not the passphrase" not in wrong.err
    assert [tag["SignedTag"] for tag in inspect(alice, gun)["SignedTags"]] == ["a"]


def inspect(person: Person, gun: str) -> dict[str, list[dict[str, str]]]:
    result = person("inspect", gun, "--format", "json")
    assert result.status == 0, result.err
    listed = json.loads(result.out)
    assert len(listed) == 1
    return listed[0]


def test_inspect_has_the_shape_of_docker_trust_inspect(service: RunningService, alice: Person) -> None:
    gun = f"{service.host}/inspect/app"
    digest = alice.push(f"{gun}:v1")
    assert alice("sign", f"{gun}:v1").status == 0
    shown = inspect(alice, gun)
    assert shown["Name"] == gun
    assert shown["SignedTags"] == [{"SignedTag": "v1", "Digest": digest[7:], "Signers": ["Repo Admin"]}]
    assert shown["AdministrativeKeys"][0] == {"Name": "Root", "Keys": [{"ID": alice.root_key()}]}
    assert f"v1          {digest[7:]}" in alice("inspect", gun).out


def test_an_explicit_digest_is_signed_whatever_the_tag_points_at(service: RunningService, alice: Person) -> None:
    gun = f"{service.host}/pinned/app"
    first = alice.push(f"{gun}:v1", "first")
    alice.push(f"{gun}:v1", "second")
    assert alice("sign", f"{gun}:v1@{first}").out.strip() == f"{gun}:v1@{first}"
    assert alice("verify", f"{gun}:v1").out.strip() == f"{gun}:v1@{first}"


def test_the_role_that_lacks_is_named_before_a_key_is_made(
    service: RunningService, bob: Person, carol: Person
) -> None:
    gun = f"{service.host}/roles/app"
    bob.push(f"{gun}:v1")
    refused = bob("sign", f"{gun}:v1")
    assert (refused.status, refused.slug) == (5, "role-missing")
    assert "AcrImageSigner" in refused.err
    assert "AcrPush" not in refused.err
    both = carol("sign", f"{gun}:v1")
    assert "AcrPush" in both.err
    assert "AcrImageSigner" in both.err
    assert json.loads(bob("key", "list", "--format", "json").out) == []
    assert carol("push", "oci:/nowhere:t", f"{gun}:v1").status == 1


def test_init_founds_once_and_the_second_time_says_so(service: RunningService, alice: Person) -> None:
    gun = f"{service.host}/init/app"
    made = alice("init", gun)
    assert (made.status, made.out.strip()) == (0, alice.root_key())
    again = alice("init", gun)
    assert (again.status, again.slug) == (2, "usage")


def test_changes_by_admin_take_effect_within_a_second(service: RunningService, alice: Person) -> None:
    import time

    dave = service.principal("dave", "AcrPull")
    gun = f"{service.host}/admin/app"
    alice.push(f"{gun}:v1")
    assert alice("sign", f"{gun}:v1").status == 0
    assert dave("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    assert dave("verify", f"{gun}:v1").status == 0
    assert service.admin("role", "revoke", "dave", "AcrPull").status == 0
    time.sleep(1)
    refused = dave("verify", f"{gun}:v1")
    assert refused.status == 5, refused.err
    assert service.admin("role", "assign", "dave", "AcrPull").status == 0
    time.sleep(1)
    assert dave("verify", f"{gun}:v1").status == 0
    assert service.admin("principal", "disable", "dave").status == 0
    time.sleep(1)
    assert dave("verify", f"{gun}:v1").status == 5


def test_content_trust_off_is_could_not_check_and_never_unsigned(tmp_path: Path) -> None:
    import time

    service = RunningService(tmp_path).start()
    try:
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        gun = f"{service.host}/app"
        alice.push(f"{gun}:v1")
        assert alice("sign", f"{gun}:v1").status == 0
        assert service.admin("policy", "set", "content-trust", "disabled").status == 0
        time.sleep(1)
        off = alice("verify", f"{gun}:v1")
        assert (off.status, off.slug) == (4, "content-trust-disabled")
        assert alice("sign", f"{gun}:v1").status == 4
        assert service.admin("policy", "set", "content-trust", "enabled").status == 0
        time.sleep(1)
        assert alice("verify", f"{gun}:v1").status == 0
        service.stop()
        down = alice("verify", f"{gun}:v1")
        assert (down.status, down.slug) == (4, "unreachable")
    finally:
        service.stop()


def test_bad_usage_ends_with_2_and_no_traceback() -> None:
    for arguments in (
        ["verify"],
        ["verify", "app:v1"],
        ["verify", "UPPER.example.com/app:v1"],
        ["sign", "a.b/c"],
        ["x"],
    ):
        result = run(arguments, {})
        assert result.status == 2, (arguments, result)
        assert "Traceback" not in result.err
