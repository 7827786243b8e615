"""The key-encryption key of a service that runs is changed while collections are founded and tags are signed."""

from __future__ import annotations

import threading

from tests.service import Person, RunningService

GUNS = 6


def test_a_service_goes_on_while_its_key_encryption_key_is_changed(
    service: RunningService, alice: Person, carol: Person
) -> None:
    def name(number: int) -> str:
        return f"{service.host}/rotated/app{number}:v1"

    alice.push(name(0))
    assert alice("sign", name(0)).status == 0
    old = (service.data / "kek").read_bytes()
    told: list[str] = []

    def found() -> None:
        for number in range(1, GUNS):
            alice.push(name(number))
            done = alice("sign", name(number))
            told.append(done.err if done.status else "")

    founding = threading.Thread(target=found)
    founding.start()
    rotated = [service.admin("kek", "rotate") for _ in range(2)]
    founding.join()
    assert told == [""] * (GUNS - 1)
    for done in rotated:
        assert (done.status, "in place of" in done.out) == (0, True), done.err
    new = (service.data / "kek").read_bytes()
    assert len({old, new}) == 2
    alice.push(name(0), "signed by a process from before")
    assert alice("sign", name(0)).status == 0

    service.stop()
    service.start()
    alice.push(name(1), "signed by a process with the new key alone")
    assert alice("sign", *map(name, range(GUNS))).status == 0
    assert carol("login", service.host, "-u", "carol", "--password-stdin", feed="correct horse battery").status == 0
    for number in range(GUNS):
        assert carol("pin", "add", name(number).removesuffix(":v1"), "--root-key", alice.root_key()).status == 0
        assert carol("verify", name(number)).status == 0

    service.stop()
    (service.data / "kek").write_bytes(old)
    (service.data / "kek").chmod(0o600)
    refused = service.admin("kek", "rotate")
    assert (refused.status, refused.slug) == (1, "state"), "the old key opens nothing any more"
    (service.data / "kek").write_bytes(new)
    service.start()
