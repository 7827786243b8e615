"""The first start of a service, and a start that misses its key-encryption key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service import PASSWORD, RunningService, run


def test_people_can_be_added_before_the_first_start(tmp_path: Path) -> None:
    service = RunningService(tmp_path)
    added = service.admin("principal", "add", "alice", "--password-stdin", feed=PASSWORD)
    assert added.status == 0
    assert f"There is no service in {service.data} yet" in added.err
    assert "There is no service" not in service.admin("role", "assign", "alice", "AcrPull").err
    service.start()
    try:
        home = {"TRUSTKIT_HOME": str(tmp_path / "home"), "DOCKER_CONFIG": str(tmp_path / "docker")}
        login = ["login", service.host, "-u", "alice", "--password-stdin"]
        assert run(login, home, feed=PASSWORD + "\n").status == 0
    finally:
        service.stop()


def test_a_service_that_lost_its_key_encryption_key_does_not_make_another(tmp_path: Path) -> None:
    service = RunningService(tmp_path).start()
    service.stop()
    key = service.data / "kek"
    saved = key.read_bytes()
    key.unlink()
    with pytest.raises(AssertionError, match="There is no key-encryption key"):
        service.start()
    assert not key.exists()
    key.write_bytes(saved)
    key.chmod(0o600)
    service.start().stop()
