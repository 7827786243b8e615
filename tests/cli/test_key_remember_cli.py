"""``trustkit key remember`` and ``forget`` with the real keyring package and a backend of the test's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.service import Person

pytest.importorskip("keyring")

BACKEND = '''
import json, os, pathlib
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

FILE = pathlib.Path(os.environ["KEYRING_TEST_FILE"])


class InFile(KeyringBackend):
    """Keeps what it gets, as a desktop's keyring does."""
    priority = 1

    def _all(self):
        return json.loads(FILE.read_text()) if FILE.exists() else {}

    def get_password(self, service, username):
        return self._all().get(f"{service} {username}")

    def set_password(self, service, username, password):
        FILE.write_text(json.dumps({**self._all(), f"{service} {username}": password}))

    def delete_password(self, service, username):
        left = self._all()
        if left.pop(f"{service} {username}", None) is None:
            raise PasswordDeleteError("not there")
        FILE.write_text(json.dumps(left))


class Locked(InFile):
    def get_password(self, service, username):
        raise RuntimeError("the secret is hunter2")

    def set_password(self, service, username, password):
        raise RuntimeError(f"can't keep {password}")


class Shut(InFile):
    """What a desktop's keyring raises where its own passphrase isn't given."""

    def get_password(self, service, username):
        raise KeyringLocked("Failed to unlock the collection of hunter2!")

    set_password = delete_password = get_password
'''
PASSPHRASE = "only in the keyring"


@pytest.fixture
def carol(tmp_path: Path) -> Person:
    """Has one root key, a keyring, and no passphrase in the environment."""
    (tmp_path / "keyring_of_tests.py").write_text(BACKEND)
    environ = {
        "PYTHON_KEYRING_BACKEND": "keyring_of_tests.InFile",
        "KEYRING_TEST_FILE": str(tmp_path / "keyring.json"),
        "TRUSTKIT_ROOT_PASSPHRASE": "",
        "TRUSTKIT_KEYRING": "1",
    }
    person = Person("carol", tmp_path, environ, first=f"import sys; sys.path.insert(0, {str(tmp_path)!r})")
    assert person("key", "generate", "--role", "root", environ={"TRUSTKIT_ROOT_PASSPHRASE": PASSPHRASE}).status == 0
    return person


@pytest.fixture
def secret(tmp_path: Path) -> str:
    (tmp_path / "secret").write_text(PASSPHRASE + "\n")
    return str(tmp_path / "secret")


def held(person: Person) -> dict[str, str]:
    file = person.home / "keyring.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def test_a_remembered_passphrase_opens_the_key_until_it_is_forgotten(carol: Person, secret: str) -> None:
    key_id = carol.root_key()
    assert carol("key", "export", key_id).slug == "no-passphrase"
    done = carol("key", "remember", key_id[:8], "--passphrase-file", secret)
    assert done.status == 0, done.err
    assert PASSPHRASE not in done.out + done.err
    assert held(carol) == {f"trustkit {key_id}": PASSPHRASE}
    assert carol("key", "export", key_id).status == 0
    assert carol("key", "export", key_id, environ={"TRUSTKIT_KEYRING": "0"}).slug == "no-passphrase"
    assert carol("key", "forget", key_id[:8]).status == 0
    assert held(carol) == {}
    assert carol("key", "export", key_id).slug == "no-passphrase"
    again = carol("key", "forget", key_id)
    assert (again.status, again.slug) == (1, "not-found")


def test_only_what_opens_the_key_is_remembered(carol: Person, secret: str) -> None:
    Path(secret).write_text("something else")
    done = carol("key", "remember", carol.root_key(), "--passphrase-file", secret)
    assert (done.status, done.slug) == (6, "wrong-passphrase")
    assert held(carol) == {}


def test_an_old_one_is_replaced_and_not_believed(carol: Person, secret: str, tmp_path: Path) -> None:
    key_id = carol.root_key()
    assert carol("key", "remember", key_id, "--passphrase-file", secret).status == 0
    (tmp_path / "new").write_text("another passphrase")
    assert carol("key", "passwd", key_id, "--new-passphrase-file", str(tmp_path / "new")).status == 0
    stale = carol("key", "export", key_id)
    assert stale.slug == "wrong-passphrase"
    assert "The passphrase from the system keyring doesn't open" in stale.err
    nobody = carol("key", "remember", key_id)
    assert nobody.slug == "no-passphrase"  # the keyring isn't a source for what goes into it
    assert carol("key", "remember", key_id, "--passphrase-file", str(tmp_path / "new")).status == 0
    assert carol("key", "export", key_id).status == 0


@pytest.mark.parametrize("gone", [True, False])
def test_a_key_that_is_gone_is_forgotten_by_its_whole_id(carol: Person, secret: str, gone: bool) -> None:
    key_id = carol.root_key()
    carol("key", "remember", key_id, "--passphrase-file", secret)
    if gone:
        assert carol("key", "remove", key_id, "--yes").status == 0
    assert carol("key", "forget", key_id).status == 0
    assert held(carol) == {}


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("keyring.backends.null.Keyring", "took the passphrase and doesn't give it back"),
        ("keyring.backends.fail.Keyring", "can't be used (NoKeyringError)"),
        ("keyring_of_tests.Locked", "can't be used (RuntimeError)"),
    ],
)
def test_a_keyring_that_keeps_nothing(carol: Person, secret: str, backend: str, words: str) -> None:
    done = carol(
        "key", "remember", carol.root_key(), "--passphrase-file", secret, environ={"PYTHON_KEYRING_BACKEND": backend}
    )
    assert (done.status, done.slug) == (2, "invalid-setting")
    assert words in done.err
    assert PASSPHRASE not in done.err
    assert "hunter2" not in done.err


KEYRINGS = {
    "present": ("keyring_of_tests.InFile", 0, "", ""),
    "empty": ("keyring.backends.null.Keyring", 6, "no-passphrase", "and no terminal to ask on"),
    "locked": ("keyring_of_tests.Shut", 6, "no-passphrase", "The system keyring is locked"),
    "broken": ("keyring_of_tests.Locked", 2, "invalid-setting", "can't be used (RuntimeError)"),
    "none on this machine": ("keyring.backends.fail.Keyring", 2, "invalid-setting", "can't be used (NoKeyringError)"),
    "no such backend": ("nowhere.Keyring", 2, "invalid-setting", "can't be used (ModuleNotFoundError)"),
}


@pytest.mark.parametrize(("backend", "status", "slug", "words"), KEYRINGS.values(), ids=KEYRINGS.keys())
def test_a_keyring_as_the_source_of_a_passphrase(
    carol: Person, secret: str, backend: str, status: int, slug: str, words: str
) -> None:
    key_id = carol.root_key()
    assert carol("key", "remember", key_id, "--passphrase-file", secret).status == 0
    done = carol("key", "export", key_id, environ={"PYTHON_KEYRING_BACKEND": backend})
    assert (done.status, done.slug) == (status, slug), done.err
    assert words in done.err
    assert "hunter2" not in done.err
    assert ("PRIVATE KEY" in done.out) is (status == 0)
    out = carol("key", "export", key_id, environ={"PYTHON_KEYRING_BACKEND": backend, "TRUSTKIT_KEYRING": "0"})
    assert out.slug == "no-passphrase", "left out, it is not asked"
    given = {"PYTHON_KEYRING_BACKEND": backend, "TRUSTKIT_ROOT_PASSPHRASE": PASSPHRASE}
    assert carol("key", "export", key_id, environ=given).status == 0, "what is set comes first"


def test_a_keyring_without_its_package(carol: Person, tmp_path: Path) -> None:
    (tmp_path / "keyring.py").write_text("raise ImportError('not installed')")
    done = carol("key", "export", carol.root_key())
    assert (done.status, done.slug) == (2, "invalid-setting")
    assert "pip install 'trustkit[keyring]'" in done.err
