"""A real service with a publisher, and a CI job whose key may sign ``v*`` of one repository."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ci.systems import CLEAN_PATH, Job
from tests.people import service
from tests.service import FORKS, PASSWORD, Person, RunningService
from tests.shim import write_shim

__all__ = ["service"]
SIGNER_PASSPHRASE = "what opens the signer's key"
SHIM = """#!/bin/sh
printf '%s\\n' "$*" >>"$ARGV_LOG"
exec "$REAL_TRUSTKIT" "$@"
"""


@pytest.fixture(scope="module")
def alice(service: RunningService) -> Person:
    """The publisher: team/app is founded, and ``ci`` may sign v* of it."""
    alice = service.principal("alice", "AcrPush", "AcrImageSigner")
    alice.push(f"{service.host}/team/app:base")
    assert alice("sign", f"{service.host}/team/app:base").status == 0
    environ = {"TRUSTKIT_SIGNER_PASSPHRASE": SIGNER_PASSPHRASE}
    public = service.folder / "ci.pub"
    made = alice("key", "generate", "--role", "signer", "--name", "ci", "--public-out", str(public), environ=environ)
    assert made.status == 0, made.err
    exported = alice("key", "export", made.out.strip(), "-o", str(service.folder / "ci.pem"), environ=environ)
    assert exported.status == 0, exported.err
    assert alice("key", "remove", "--yes", made.out.strip()).status == 0
    added = alice("signer", "add", "ci", "--key", str(public), "--paths", "v*", f"{service.host}/team/app")
    assert added.status == 0, added.err
    return alice


@pytest.fixture(scope="module")
def settings(service: RunningService, alice: Person) -> dict[str, str]:
    """What a job of team/app is given."""
    ci = service.principal("ci", "AcrPush", "AcrImageSigner", pattern="team/app")
    for role in ("AcrPush", "AcrImageSigner"):
        assert service.admin("role", "assign", ci.name, role, "--repository", "team/unfounded").status == 0
    return {
        "TRUSTKIT_CI_REPOSITORY": f"{service.host}/team/app",
        "TRUSTKIT_CI_ROOT_KEYS": alice.root_key(),
        "TRUSTKIT_CI_USERNAME": "ci",
        "TRUSTKIT_CI_PASSWORD": PASSWORD,
        "TRUSTKIT_CI_SIGNER_KEY": (service.folder / "ci.pem").read_text(encoding="ascii"),
        "TRUSTKIT_SIGNER_PASSPHRASE": SIGNER_PASSPHRASE,
        "TRUSTKIT_CI_INSTALL": "",
    }


MakeJob = Callable[..., Job]


@pytest.fixture
def job(tmp_path: Path, settings: dict[str, str]) -> MakeJob:
    """``job(metadata, **settings)``: a job in whose folder a build has left this metadata; None drops a setting."""
    shims = tmp_path / "shims"
    shims.mkdir()
    real = write_shim(FORKS, tmp_path)
    (shims / "trustkit").write_text(SHIM, encoding="ascii")
    (shims / "trustkit").chmod(0o755)
    made: list[Job] = []

    def make(metadata: object, **changes: str | None) -> Job:
        theirs = {name: value for name, value in {**settings, **changes}.items() if value is not None}
        more = {"ARGV_LOG": str(tmp_path / "argv"), "REAL_TRUSTKIT": str(real)}
        job = Job(tmp_path / f"job{len(made)}", os.pathsep.join([str(shims), CLEAN_PATH]), theirs, more)
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        (job.work / "metadata.json").write_text(text, encoding="utf-8")
        made.append(job)
        return job

    return make
