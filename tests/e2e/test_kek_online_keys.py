"""Online keys on a token (SoftHSM), as an operator types it: founded, restarted, rotated, away and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service import Person, Result, RunningService, run
from tests.signer.running import RunningSigner
from tests.softhsm import PIN, SoftHsm

pytestmark = [pytest.mark.real, pytest.mark.slow]

OPTION = ("--online-key-uri", "pkcs11:token=online")


@pytest.fixture
def environ(softhsm: SoftHsm) -> dict[str, str]:
    return {**softhsm.environ, "TRUSTKIT_HSM_PIN": PIN}


@pytest.fixture
def service(tmp_path: Path, environ: dict[str, str]) -> Iterator[RunningService]:
    made = RunningService(tmp_path, environ=environ)
    yield made
    made.stop()


def admin(service: RunningService, *arguments: str) -> Result:
    return run(["admin", "--data-dir", str(service.data), *arguments], service.environ)


def restart(service: RunningService, *arguments: str) -> None:
    service.stop()
    service.arguments = arguments
    service.start()


def sign(alice: Person, reference: str) -> Result:
    alice.push(reference)
    return alice("sign", reference)


def test_founded_on_a_token_restarted_rotated_and_the_token_away(
    service: RunningService, softhsm: SoftHsm, tmp_path: Path
) -> None:
    token = softhsm.insert("online")
    service.arguments = OPTION
    service.start()
    alice, gun = service.principal("alice", "AcrPush", "AcrImageSigner"), f"{service.host}/team/app"
    assert sign(alice, f"{gun}:v1").status == 0
    restart(service, *OPTION)
    assert sign(alice, f"{gun}:v2").status == 0

    restart(service)
    assert sign(alice, f"{gun}:v3").status == 0, "the option says where new keys are made"
    downgraded = admin(service, "online-keys", "rotate", gun)
    assert (downgraded.status, downgraded.slug) == (5, "consent-missing")
    assert "--online-key-uri" in downgraded.err

    restart(service, *OPTION)
    assert alice("key", "rotate", gun, "--role", "online", "--yes").status == 0
    away = tmp_path / "away"
    token.rename(away)
    gone = sign(alice, f"{gun}:v4")
    assert (gone.status, gone.slug) == (4, "server-failed")
    assert "nothing was signed" in gone.err
    assert "'online'" not in gone.err
    assert "The token 'online' isn't here" in service.log.read_text()
    assert alice("verify", f"{gun}:v3").status == 0
    away.rename(token)
    assert alice("sign", f"{gun}:v4").status == 0, "the same service, after the token is back"
    assert PIN not in service.log.read_text()


def test_keys_from_before_go_on_until_a_rotation_moves_them_to_the_token(
    service: RunningService, softhsm: SoftHsm
) -> None:
    softhsm.insert("online")
    service.start()
    alice, gun = service.principal("alice", "AcrPush", "AcrImageSigner"), f"{service.host}/team/app"
    assert sign(alice, f"{gun}:v1").status == 0
    restart(service, *OPTION)
    assert sign(alice, f"{gun}:v2").status == 0
    assert alice("key", "rotate", gun, "--role", "online", "--yes").status == 0
    assert sign(alice, f"{gun}:v3").status == 0
    service.environ = {**service.environ, "TRUSTKIT_HSM_PIN": ""}
    restart(service)
    assert sign(alice, f"{gun}:v4").slug == "server-failed"
    assert "There is no passphrase for the token 'online'" in service.log.read_text()


def test_a_separate_signer_has_its_keys_on_the_token(
    service: RunningService, softhsm: SoftHsm, environ: dict[str, str]
) -> None:
    softhsm.insert("online")
    signer = RunningSigner(service.folder, *OPTION, environ=environ).start()
    try:
        both = run(
            ["serve", "--data-dir", str(service.data), "--listen", "127.0.0.1:0", *signer.options, *OPTION], environ
        )
        assert (both.status, both.slug) == (2, "invalid-setting")
        service.arguments = tuple(signer.options)
        service.start()
        alice, gun = service.principal("alice", "AcrPush", "AcrImageSigner"), f"{service.host}/team/app"
        assert sign(alice, f"{gun}:v1").status == 0
        signer.end()
        signer.start()
        assert sign(alice, f"{gun}:v2").status == 0
        assert alice("verify", f"{gun}:v1", f"{gun}:v2").status == 0
        signer.end()
        signer.arguments = ()
        with pytest.raises(AssertionError, match="is on a token"):
            signer.start()
    finally:
        signer.end()


@pytest.mark.parametrize(
    ("arguments", "environ_too", "status", "slug"),
    [
        (OPTION, {}, 6, "key-unavailable"),
        ((*OPTION, "--online-key-pin-file", "/dev/null"), {}, 6, "key-unavailable"),
        (("--online-key-uri", "hv:online"), {}, 2, "invalid-setting"),
        (("--online-key-uri", ""), {}, 2, "invalid-setting"),
        ((), {"TRUSTKIT_ONLINE_KEY_URI": "pkcs11:token=online"}, 6, "key-unavailable"),
    ],
    ids=["no token", "no token, a PIN", "a key service", "empty", "from the environment"],
)
def test_a_start_that_is_refused(
    tmp_path: Path,
    environ: dict[str, str],
    arguments: tuple[str, ...],
    environ_too: dict[str, str],
    status: int,
    slug: str,
) -> None:
    command = ["serve", "--data-dir", str(tmp_path / "service"), "--listen", "127.0.0.1:0", *arguments]
    refused = run(command, {**environ, **environ_too})
    assert (refused.status, refused.slug) == (status, slug), refused.err
    assert "Traceback" not in refused.err
