"""Who founds a collection, typed as operator and publishers type it, against one running service (TRUST 3.8)."""

from __future__ import annotations

import json

from tests.service import Person, RunningService


def founded(service: RunningService, gun: str) -> list[dict[str, object]]:
    rows = json.loads(service.admin("audit", "list", "--format", "json").out)
    return [row for row in rows if row["subject"] == gun and row["action"] == "collection-founded"]


def test_a_stranger_with_every_role_is_refused_and_a_listed_publisher_founds(
    service: RunningService, alice: Person
) -> None:
    gun, old = f"{service.host}/founded/app", f"{service.host}/founded/old"
    mallory = service.principal("mallory", "AcrPush", "AcrImageSigner")
    mallory.push(f"{old}:v1")
    assert mallory("sign", f"{old}:v1").status == 0, "without a list the first one claims the name"
    alice.push(f"{gun}:v1")
    assert alice("key", "generate", "--role", "root").status == 0
    key = alice.root_key()

    assert service.admin("founders", "add", "founded/*", "--root-key", key).status == 0
    for command in (("sign", f"{gun}:v1"), ("init", gun)):
        refused = mallory(*command)
        assert (refused.status, refused.slug, refused.out) == (1, "founder-not-allowed", ""), refused.err
        assert f"{gun} has no collection yet" in refused.err
        assert key[:16] in refused.err
        assert "trustkit admin founders add" in refused.err
    assert founded(service, gun) == []
    assert mallory("verify", f"{gun}:v1").slug == "no-pin", "and nothing was pinned as if it had worked"

    assert alice("sign", f"{gun}:v1").status == 0
    assert alice("verify", f"{gun}:v1").status == 0
    (row,) = founded(service, gun)
    assert (row["actor"], row["detail"]["root_keys"]) == ("alice", [key])

    mallory.push(f"{old}:v2")
    assert mallory("sign", f"{old}:v2").status == 0, "a collection that exists is not affected"
    elsewhere = f"{service.host}/elsewhere/app"
    mallory.push(f"{elsewhere}:v1")
    assert mallory("sign", f"{elsewhere}:v1").status == 0, "nor is a name that no pattern covers"


def test_a_change_of_the_list_counts_at_once(service: RunningService, alice: Person) -> None:
    gun = f"{service.host}/listed/app"
    trent = service.principal("trent", "AcrPush", "AcrImageSigner")
    trent.push(f"{gun}:v1")
    assert trent("key", "generate", "--role", "root").status == 0
    assert service.admin("founders", "add", "listed/*", "--root-key", "f" * 64).status == 0
    assert trent("sign", f"{gun}:v1").slug == "founder-not-allowed"
    assert service.admin("founders", "add", "listed/*", "--root-key", trent.root_key()).status == 0
    assert trent("sign", f"{gun}:v1").status == 0
    listed = json.loads(service.admin("founders", "list", "--format", "json").out)
    assert {"pattern": "listed/*", "root_keys": sorted(["f" * 64, trent.root_key()])} in listed
