"""A service and a signer whose key-encryption key is wrapped by a token (SoftHSM), as an operator types it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.service import Person, Result, RunningService, run
from tests.signer.running import RunningSigner
from tests.softhsm import PIN, SoftHsm

pytestmark = pytest.mark.real

URI = "pkcs11:token=vault;object=kek"
OPENING = ("online-keys", "rotate", "--all")
"""An admin command that opens sealed keys."""


@dataclass
class Office:
    """An operator with a token that has a wrapping key, and a service that is stopped."""

    softhsm: SoftHsm
    token: Path
    folder: Path

    def environ(self, **more: str) -> dict[str, str]:
        return {**self.softhsm.environ, "TRUSTKIT_HSM_PIN": PIN, **more}

    def service(self, *arguments: str, **environ: str) -> RunningService:
        return RunningService(self.folder, *arguments, environ=self.environ(**environ))

    def admin(self, *arguments: str, data: Path | None = None, **environ: str) -> Result:
        where = data or self.folder / "service"
        return run(["admin", "--data-dir", str(where), *arguments], self.environ(**environ))

    def start_refused(self, *arguments: str, **environ: str) -> Result:
        """``serve`` that has to end by itself."""
        command = ["serve", "--data-dir", str(self.folder / "service"), "--listen", "127.0.0.1:0", *arguments]
        done = run(command, self.environ(**environ))
        assert "Traceback" not in done.err
        assert PIN not in done.err
        return done

    def files(self) -> set[str]:
        names = {file.name for file in (self.folder / "service").iterdir()}
        return {name for name in names if name.startswith("kek") and not name.endswith(".lock")}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, need: Callable[[str, str], Path]) -> Office:
    """A service that was started once, and whose key was wrapped then."""
    folder = tmp_path_factory.mktemp("prepared")
    softhsm = SoftHsm(folder / "softhsm", need("softhsm2-util", "softhsm2"))
    made = Office(softhsm, softhsm.insert("vault"), folder)
    generated = made.admin("kek", "generate", "--kek-uri", URI)
    assert generated.status == 0, generated.err
    made.service().start().stop()
    moved = made.admin("kek", "wrap", "--kek-uri", URI)
    assert (moved.status, moved.out.strip()) == (0, f"{folder}/service/kek.wrapped: wrapped by {URI}"), moved.err
    return made


@pytest.fixture
def office(prepared: Office, softhsm: SoftHsm, tmp_path: Path) -> Office:
    """The token with the key, and no service yet."""
    return Office(softhsm, softhsm.insert_copy(prepared.token), tmp_path)


@pytest.fixture
def started(office: Office) -> Iterator[Callable[..., RunningService]]:
    """Starts the service anew, on the port that it had."""
    running: list[RunningService] = []

    def start(*arguments: str, **environ: str) -> RunningService:
        service = office.service(*arguments, **environ)
        service.port = running[-1].port if running else 0
        for before in running:
            before.stop()
        running.append(service)
        return service.start()

    yield start
    for service in running:
        service.stop()


@pytest.fixture
def wrapped(prepared: Office, office: Office) -> Office:
    """The token, and a service whose key it has wrapped."""
    shutil.copytree(prepared.folder / "service", office.folder / "service")
    return office


def sign(alice: Person, reference: str) -> None:
    digest = alice.push(reference)
    signed = alice("sign", reference)
    assert (signed.status, signed.out.strip()) == (0, f"{reference}@{digest}"), signed.err


def test_sign_wrap_sign_restart_sign_unwrap_sign(office: Office, started: Callable[..., RunningService]) -> None:
    service = started()
    alice, gun = service.principal("alice", "AcrPush", "AcrImageSigner"), f"{service.host}/team/app"
    sign(alice, f"{gun}:v1")
    assert office.admin("kek", "wrap", "--kek-uri", URI).status == 0, "beside the service that runs"
    assert office.files() == {"kek.wrapped"}
    sign(alice, f"{gun}:v2")
    started("--kek-uri", URI)
    sign(alice, f"{gun}:v3")
    office.softhsm.pull_out(office.token)
    sign(alice, f"{gun}:v4")  # the token is needed at the start only
    gone = office.start_refused("--kek-uri", URI)
    assert (gone.status, gone.slug) == (6, "key-unavailable")
    assert alice("verify", *(f"{gun}:v{n}" for n in (1, 2, 3, 4))).status == 0


def test_every_command_that_opens_sealed_keys_finds_it_in_the_same_way(
    office: Office, started: Callable[..., RunningService], tmp_path: Path
) -> None:
    service = started(TRUSTKIT_KEK_URI=URI)
    assert office.files() == {"kek.wrapped"}, "a first start under a URI writes nothing in the clear"
    alice, gun = service.principal("alice", "AcrPush", "AcrImageSigner"), f"{service.host}/team/app"
    sign(alice, f"{gun}:v1")
    pin = tmp_path / "pin"
    pin.write_text(PIN + "\n")
    for command, done in ((OPENING, "waits for a root"), (("recover",), "snapshot 1002")):
        refused = office.admin(*command)
        assert (refused.status, refused.slug) == (1, "state")
        assert f"is wrapped by {URI}" in refused.err
        by_option = office.admin(*command, "--kek-uri", URI, "--kek-pin-file", str(pin), TRUSTKIT_HSM_PIN="")
        assert by_option.status == 0, by_option.err
        assert done in by_option.out
        assert office.admin(*command, TRUSTKIT_KEK_URI=URI).status == 0
    assert alice("key", "rotate", gun, "--role", "online", "--yes").status == 0
    back = office.admin("kek", "unwrap", TRUSTKIT_KEK_URI=URI)
    assert back.status == 0, back.err
    started()
    sign(alice, f"{gun}:v2")
    rows = json.loads(office.admin("audit", "list", "--format", "json").out)
    assert [(row["action"], row["subject"]) for row in rows if row["action"].startswith("kek-")] == [
        ("kek-unwrapped", f"{office.folder}/service/kek")
    ]


def _pulled_out(office: Office) -> None:
    office.softhsm.pull_out(office.token)


def _another_token(office: Office) -> None:
    """With a key under the same label."""
    _pulled_out(office)
    office.softhsm.insert("vault")
    assert office.admin("kek", "generate", "--kek-uri", URI).status == 0


def _altered(office: Office) -> None:
    file = office.folder / "service" / "kek.wrapped"
    said = json.loads(file.read_text())
    said["wrapped"] = ("B" if said["wrapped"][0] == "A" else "A") + said["wrapped"][1:]
    file.write_text(json.dumps(said, indent=2) + "\n")


def _relabelled(office: Office) -> None:
    """The file says that the other key wrapped it."""
    assert office.admin("kek", "generate", "--kek-uri", OTHER).status == 0
    file = office.folder / "service" / "kek.wrapped"
    file.write_text(file.read_text().replace("object=kek", "object=other"))


def _lost(office: Office) -> None:
    (office.folder / "service" / "kek.wrapped").unlink()


def _unwrapped(office: Office) -> None:
    assert office.admin("kek", "unwrap", "--kek-uri", URI).status == 0


def _as_it_is(office: Office) -> None:
    """The wrapped file, and its token."""


OTHER = "pkcs11:token=vault;object=other"
NAMED = ("--kek-uri", URI)


@pytest.mark.parametrize(
    ("happened", "options", "environ", "status", "slug", "said"),
    [
        (_pulled_out, NAMED, {}, 6, "key-unavailable", "The token 'vault' isn't here"),
        (_as_it_is, NAMED, {"TRUSTKIT_HSM_PIN": "not the pin"}, 6, "wrong-passphrase", "isn't tried again"),
        (_as_it_is, NAMED, {"TRUSTKIT_HSM_PIN": ""}, 6, "no-passphrase", "--kek-pin-file"),
        (_another_token, NAMED, {}, 1, "state", "doesn't open under the key labelled 'kek'"),
        (_as_it_is, ("--kek-uri", OTHER), {}, 1, "state", f"was wrapped by {URI}, not by {OTHER}"),
        (_relabelled, ("--kek-uri", OTHER), {}, 1, "state", "doesn't open under the key labelled 'other'"),
        (_altered, NAMED, {}, 1, "state", "doesn't open under the key labelled 'kek'"),
        (_lost, NAMED, {}, 1, "state", "no wrapped key-encryption key"),
        (_as_it_is, (), {}, 1, "state", "--kek-uri"),
        (_unwrapped, NAMED, {}, 1, "state", "kek wrap --kek-uri URI"),
        (_as_it_is, NAMED, {"TRUSTKIT_PKCS11_MODULE": "/nonexistent.so"}, 2, "invalid-setting", "/nonexistent.so"),
        (_as_it_is, ("--kek-uri", "azurekms://v.vault.azure.net/keys/k"), {}, 2,
         "invalid-setting", "not wrap the key-encryption key"),
        (_as_it_is, ("--kek-uri", f"{URI}?pin-value=1"), {}, 2, "usage", "'pin-value' is refused"),
        (_as_it_is, ("--kek-uri", ""), {}, 2, "invalid-setting", "--kek-uri is empty"),
        (_as_it_is, (*NAMED, "--kek-file", "kek"), {}, 2, "invalid-setting", "exclude each other"),
        (_as_it_is, ("--kek-pin-file", __file__), {}, 2, "invalid-setting", "needs --kek-uri"),
    ],
    ids=["pulled out", "wrong PIN", "no PIN", "another token", "another label", "relabelled", "altered", "lost",
         "no URI", "plain file", "no module", "can't wrap", "PIN in the URI", "empty", "two places", "PIN for none"],
)  # fmt: skip
def test_a_start_that_is_refused_says_why_and_what_to_do(
    wrapped: Office,
    happened: Callable[[Office], None],
    options: tuple[str, ...],
    environ: dict[str, str],
    status: int,
    slug: str,
    said: str,
) -> None:
    happened(wrapped)
    before = wrapped.files()
    refused = wrapped.start_refused(*options, **environ)
    assert (refused.status, refused.slug) == (status, slug), refused.err
    assert said in refused.err
    assert wrapped.files() == before, "nothing is made in its place"


def test_both_files_start_and_say_so_until_one_is_left(
    wrapped: Office, started: Callable[..., RunningService]
) -> None:
    folder = wrapped.folder / "service"
    shutil.copy(folder / "kek.wrapped", wrapped.folder / "kept")
    _unwrapped(wrapped)
    shutil.copy(wrapped.folder / "kept", folder / "kek.wrapped")
    for options in ((), NAMED):
        assert "is there, too" in started(*options).log.read_text()
    shown = json.loads(wrapped.admin("kek", "show", "--format", "json").out)
    assert [(each["uri"], each["id"]) for each in shown] == [("", shown[1]["id"]), (URI, shown[0]["id"])]
    assert wrapped.admin("kek", "wrap", *NAMED).status == 0
    assert wrapped.files() == {"kek.wrapped"}


def test_moves_that_are_refused_move_nothing(wrapped: Office, tmp_path: Path) -> None:
    for move, said in (("wrap", "doesn't open"), ("unwrap", "doesn't open")):
        saved = (wrapped.folder / "service" / "kek.wrapped").read_bytes()
        _altered(wrapped)
        refused = wrapped.admin("kek", move, *NAMED)
        assert (refused.status, refused.slug) == (1, "state")
        assert said in refused.err
        assert wrapped.files() == {"kek.wrapped"}
        (wrapped.folder / "service" / "kek.wrapped").write_bytes(saved)
    nowhere = wrapped.admin("kek", "wrap", *NAMED, data=tmp_path / "nowhere")
    assert (nowhere.status, nowhere.slug) == (1, "state")
    assert "no data folder" in nowhere.err
    assert not (tmp_path / "nowhere").exists()
    unsaid = wrapped.admin("kek", "unwrap")
    assert (unsaid.status, unsaid.slug) == (2, "usage")
    service = wrapped.admin("kek", "generate", "--kek-uri", "hv:kek")
    assert (service.status, service.slug) == (2, "usage")
    again = wrapped.admin("kek", "generate", *NAMED)
    assert (again.status, again.slug) == (6, "key-exists")


def test_a_separate_signer_has_its_own_wrapped_in_the_same_way(
    office: Office, started: Callable[..., RunningService]
) -> None:
    signer = RunningSigner(office.folder, environ=office.environ()).start()
    try:
        service = started(*signer.options)
        alice, gun = service.principal("alice", "AcrPush", "AcrImageSigner"), f"{service.host}/team/app"
        sign(alice, f"{gun}:v1")
        signer.end()
        moved = office.admin("kek", "wrap", *NAMED, data=signer.data)
        assert moved.status == 0, moved.err
        assert not (signer.data / "kek").exists()
        signer.arguments = NAMED
        signer.start()
        sign(alice, f"{gun}:v2")
        signer.end()
        signer.arguments = ()
        with pytest.raises(AssertionError, match="is wrapped by pkcs11:token=vault;object=kek"):
            signer.start()
    finally:
        signer.end()


def test_what_reaches_tokens_is_loaded_by_a_service_with_a_uri_only(
    wrapped: Office, started: Callable[..., RunningService]
) -> None:
    def loaded(service: RunningService) -> bool:
        assert service.process is not None
        return "pkcs11" in Path(f"/proc/{service.process.pid}/maps").read_text()

    assert loaded(started(*NAMED))
    _unwrapped(wrapped)
    assert not loaded(started())
