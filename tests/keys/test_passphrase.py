"""Passphrase sources: their order, what is asked, and that nothing is given away."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyRole
from trustkit.errors import InvalidSetting, NoPassphrase, WeakPassphrase
from trustkit.keys import passphrase as module
from trustkit.keys.passphrase import KeySubject, Passphrase, PassphraseSource

GUN = Gun.parse("registry.example.com/app")
KEY_ID = "1234abcd" + "0" * 56
ROOT = KeySubject(KeyRole.ROOT, key_id=KEY_ID)
REPOSITORY = KeySubject(KeyRole.REPOSITORY, gun=GUN, key_id=KEY_ID)
SIGNER = KeySubject(KeyRole.SIGNER, name=SignerName.parse("alice"), key_id=KEY_ID)

ORDER = [
    ("TRUSTKIT_PASSPHRASE_1234abcd", "per key"),
    ("TRUSTKIT_PASSPHRASE_1234ABCD", "per key, as CI systems spell it"),
    ("TRUSTKIT_REPOSITORY_PASSPHRASE", "per kind"),
    ("DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE", "docker's"),
]


def test_the_stated_order(tmp_path: Path, typist: Callable[..., Any]) -> None:
    file = tmp_path / "passphrase"
    file.write_text("from the file\n")
    environ = dict(ORDER)
    assert PassphraseSource(environ=environ, file=file).existing(REPOSITORY).value == b"from the file"
    for name, value in ORDER:
        assert PassphraseSource(environ=environ).existing(REPOSITORY) == Passphrase(
            value.encode(), f"the environment variable {name}"
        )
        del environ[name]
    asked = PassphraseSource(environ=environ, interactive=True, prompt=typist("typed")).existing(REPOSITORY)
    assert asked == Passphrase(b"typed", "the prompt", prompted=True)


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        (ROOT, "TRUSTKIT_ROOT_PASSPHRASE"),
        (ROOT, "DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE"),
        (SIGNER, "TRUSTKIT_SIGNER_PASSPHRASE"),
        (SIGNER, "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE"),
    ],
)
def test_each_kind_has_its_variables(subject: KeySubject, name: str) -> None:
    assert PassphraseSource(environ={name: "value"}).existing(subject).value == b"value"


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        (ROOT, "TRUSTKIT_REPOSITORY_PASSPHRASE"),
        (ROOT, "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE"),
        (REPOSITORY, "TRUSTKIT_ROOT_PASSPHRASE"),
        (REPOSITORY, "TRUSTKIT_SIGNER_PASSPHRASE"),
        (REPOSITORY, "TRUSTKIT_PASSPHRASE_abcd1234"),
    ],
)
def test_another_kinds_variable_is_not_used(subject: KeySubject, name: str) -> None:
    with pytest.raises(NoPassphrase):
        PassphraseSource(environ={name: "value"}).existing(subject)


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"word", b"word"), (b"word\n", b"word"), (b"word\n\n", b"word\n"), (b"word\r\n", b"word"), (b" w \n", b" w ")],
)
def test_one_trailing_newline_is_dropped(tmp_path: Path, content: bytes, value: bytes) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(content)
    assert PassphraseSource(environ={}, file=file).existing(ROOT).value == value
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    source = PassphraseSource(environ={}, descriptor=read)
    assert source.existing(ROOT).value == value
    assert source.existing(REPOSITORY).value == value, "a descriptor is read once, and serves every key"
    os.close(read)


def test_sources_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="can't be read from the file"):
        PassphraseSource(environ={}, file=tmp_path / "missing").existing(ROOT)
    with pytest.raises(InvalidSetting, match="can't be read from descriptor 999"):
        PassphraseSource(environ={}, descriptor=999).existing(ROOT)
    with pytest.raises(InvalidSetting, match="can't be read from descriptor -5"):
        PassphraseSource(environ={}, descriptor=-5).existing(ROOT)
    with pytest.raises(InvalidSetting, match="not from both"):
        PassphraseSource(environ={}, file=tmp_path, descriptor=3)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(NoPassphrase, match="empty"):
        PassphraseSource(environ={}, file=tmp_path / "empty").existing(ROOT)
    (tmp_path / "long").write_text("x" * 5000)
    with pytest.raises(InvalidSetting, match="longer than") as caught:
        PassphraseSource(environ={}, file=tmp_path / "long").existing(ROOT)
    assert "xxx" not in str(caught.value)


def test_nobody_to_ask_is_an_error_that_names_key_and_way() -> None:
    with pytest.raises(NoPassphrase) as caught:
        PassphraseSource(environ={"TRUSTKIT_REPOSITORY_PASSPHRASE": ""}).existing(REPOSITORY)
    text = str(caught.value)
    for part in ("registry.example.com/app", "1234abcd", "TRUSTKIT_REPOSITORY_PASSPHRASE is set, and empty"):
        assert part in text


def test_end_of_input_is_no_passphrase(typist: Callable[..., Any]) -> None:
    with pytest.raises(NoPassphrase, match="none was entered"):
        PassphraseSource(environ={}, interactive=True, prompt=typist()).existing(ROOT)


def test_the_prompts(typist: Callable[..., Any]) -> None:
    asked = typist("a", "b", "c", "long enough", "long enough")
    source = PassphraseSource(environ={}, interactive=True, prompt=asked)
    for subject in (ROOT, REPOSITORY, SIGNER):
        source.existing(subject)
    assert source.new(KeySubject(KeyRole.ROOT)).value == b"long enough"
    assert asked.asked == [
        "Passphrase for the root key (id 1234abcd): ",
        "Passphrase for the repository key of registry.example.com/app (id 1234abcd): ",
        "Passphrase for the signer key of alice (id 1234abcd): ",
        "New passphrase for the root key: ",
        "Repeat the passphrase for the root key: ",
    ]


def test_a_new_one_is_asked_again_when_short_or_different(typist: Callable[..., Any]) -> None:
    asked = typist("short", "long enough", "long enouhg", "long enough", "long enough")
    assert PassphraseSource(environ={}, interactive=True, prompt=asked).new(ROOT).value == b"long enough"
    assert "at least 8 characters" in asked.asked[1]
    assert "The two differ" in asked.asked[3]
    with pytest.raises(WeakPassphrase):
        PassphraseSource(environ={}, interactive=True, prompt=typist("a", "b", "c", "d")).new(ROOT)


@pytest.mark.parametrize("value", ["1234567", "äöüäöüä"])
def test_a_new_one_has_eight_characters(value: str) -> None:
    with pytest.raises(WeakPassphrase) as caught:
        PassphraseSource(environ={"TRUSTKIT_ROOT_PASSPHRASE": value}).new(ROOT)
    assert value not in str(caught.value) + repr(caught.value) + repr(caught.value.context)
    assert PassphraseSource(environ={"TRUSTKIT_ROOT_PASSPHRASE": value + "8"}).new(ROOT)


def test_no_repr_holds_a_passphrase(tmp_path: Path) -> None:
    file = tmp_path / "p"
    file.write_text("hunter2hunter2")
    source = PassphraseSource(environ={"TRUSTKIT_ROOT_PASSPHRASE": "hunter2hunter2"}, file=file)
    assert "hunter2" not in repr(source.existing(ROOT)) + repr(source) + str(source)


def test_the_keyring_is_off_unless_switched_on(typist: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "keyring", raising=False)
    PassphraseSource(environ={}, interactive=True, prompt=typist("typed")).existing(ROOT)
    assert "keyring" not in sys.modules
    with pytest.raises(InvalidSetting, match="1 or 0"):
        PassphraseSource(environ={module.KEYRING_SWITCH: "perhaps"}).existing(ROOT)


def test_the_keyring_comes_after_the_environment_and_before_the_prompt(typist: Callable[..., Any]) -> None:
    keyring = pytest.importorskip("keyring")

    class Memory(keyring.backend.KeyringBackend):  # type: ignore[misc, name-defined]
        priority = 1

        def get_password(self, service: str, username: str) -> str | None:
            return {("trustkit", KEY_ID): "from the keyring"}.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None: ...
        def delete_password(self, service: str, username: str) -> None: ...

    class Broken(Memory):
        def get_password(self, service: str, username: str) -> str | None:
            raise RuntimeError("a secret text")

    before = keyring.get_keyring()
    try:
        keyring.set_keyring(Memory())
        on = {module.KEYRING_SWITCH: "1"}
        asked = typist("typed", "typed enough", "typed enough")
        source = PassphraseSource(environ=on, interactive=True, prompt=asked)
        assert source.existing(ROOT).value == b"from the keyring"
        assert PassphraseSource(environ={**on, "TRUSTKIT_ROOT_PASSPHRASE": "env"}).existing(ROOT).value == b"env"
        assert source.existing(KeySubject(KeyRole.ROOT, key_id="f" * 64)).value == b"typed"
        assert source.new(ROOT).value == b"typed enough"
        keyring.set_keyring(Broken())
        with pytest.raises(InvalidSetting) as caught:
            source.existing(ROOT)
        assert "secret" not in str(caught.value)
    finally:
        keyring.set_keyring(before)
