"""Keys in key services: AWS's client against moto's server, Vault's against the two calls that it makes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.conftest import free_port
from tests.keys.conftest import ENVIRON
from tests.keys.services import Uninstalled, Vault
from trustkit.core.ports.keys import KeyInfo, KeyRole
from trustkit.core.publickeys import algorithm, check_key
from trustkit.errors import InvalidSetting, KeyMissing, KeyUnavailable, KeyUnsupported, UsageError
from trustkit.keys import sdks
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.store import FileKeyStore
from trustkit.keys.uris import parse_uri


def add(store: FileKeyStore, uri: str) -> KeyInfo:
    return store.register(parse_uri(uri), KeyRole.ROOT, gun=None, name=None)


def again(store: FileKeyStore) -> FileKeyStore:
    """The same folder in a later run."""
    return FileKeyStore(Path(store.place), PassphraseSource(environ=ENVIRON))


def key_of(aws: Any, spec: str) -> str:
    return str(aws.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["KeyId"])


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("ECC_NIST_P256", "ecdsa-p256"),
        ("ECC_NIST_P384", "ecdsa-p384"),
        ("RSA_2048", "rsa-2048"),
        ("RSA_4096", "rsa-4096"),
    ],
)
def test_a_key_of_awss_service_is_taken_in_and_signs_in_a_later_run(
    aws: Any, store: FileKeyStore, spec: str, kind: str
) -> None:
    key = key_of(aws, spec)
    added = add(store, f"awskms:{key}")
    assert (added.uri, algorithm(added.public)) == (f"awskms:{key}", kind)
    check_key(added.public)
    later = again(store)
    assert later.list() == [added]
    signature = later.unlock(added).sign(b"payload")
    assert signature.keyid == added.id
    added.public.verify_signature(signature, b"payload")


@pytest.mark.parametrize("spec", ["ECC_NIST_P521", "ECC_SECG_P256K1"])
def test_a_key_of_a_type_that_isnt_allowed_is_not_taken_in(aws: Any, store: FileKeyStore, spec: str) -> None:
    with pytest.raises(KeyUnsupported, match=r"awskms:.*isn't allowed"):
        add(store, f"awskms:{key_of(aws, spec)}")
    assert store.list() == []


def test_an_alias_that_points_elsewhere_is_found_out(aws: Any, store: FileKeyStore) -> None:
    aws.create_alias(AliasName="alias/release", TargetKeyId=key_of(aws, "ECC_NIST_P256"))
    signer = store.unlock(added := add(store, "awskms:alias/release"))
    signer.sign(b"payload")
    aws.update_alias(AliasName="alias/release", TargetKeyId=key_of(aws, "ECC_NIST_P256"))
    with pytest.raises(KeyMissing, match=f"Another key than {added.id[:16]} is at awskms:alias/release"):
        signer.sign(b"payload")


def _unreachable(aws: Any, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")


def _logged_out(aws: Any, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.mark.parametrize(
    ("happened", "said"),
    [(_unreachable, "EndpointConnectionError"), (_logged_out, "NoCredentialsError")],
    ids=["unreachable", "logged out"],
)
def test_a_service_that_doesnt_answer_or_refuses(
    aws: Any,
    store: FileKeyStore,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    happened: Callable[[Any, str, pytest.MonkeyPatch], None],
    said: str,
) -> None:
    own = [logging.StreamHandler()]  # as it is in a process whose stderr was this one from its start
    monkeypatch.setattr(logging.getLogger("securesystemslib"), "handlers", own)
    key = key_of(aws, "ECC_NIST_P256")
    added = add(store, f"awskms:{key}")
    happened(aws, key, monkeypatch)
    later = again(store)
    with pytest.raises(KeyUnavailable, match=f"awskms:{key} can't be used: {said}") as refused:
        later.unlock(added).sign(b"payload")
    assert "testing-secret" not in str(refused.value)
    assert capfd.readouterr().err == "", "the library's own log is no second error"


def test_a_key_that_isnt_there(aws: Any, store: FileKeyStore) -> None:
    with pytest.raises(KeyUnavailable, match="NotFoundException"):
        add(store, "awskms:alias/nobody")


def test_a_vaults_key_is_taken_in_by_its_newest_version_and_signs(vault: Vault, store: FileKeyStore) -> None:
    vault.keys.append(Ed25519PrivateKey.generate())
    with pytest.raises(UsageError, match=r"newest version of that key is hv:release/2"):
        add(store, "hv:release/1")
    added = add(store, "hv:release")
    assert (added.uri, algorithm(added.public)) == ("hv:release/2", "ed25519")
    vault.keys.append(Ed25519PrivateKey.generate())
    added.public.verify_signature(again(store).unlock(added).sign(b"payload"), b"payload")
    vault.keys[1] = Ed25519PrivateKey.generate()
    with pytest.raises(KeyMissing, match=f"Another key than {added.id[:16]} is at hv:release/2"):
        again(store).unlock(added).sign(b"payload")


def test_a_vault_that_refuses(vault: Vault, store: FileKeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "stolen-token")
    with pytest.raises(KeyUnavailable, match=r"hv:release can't be used: Forbidden: .*permission denied") as refused:
        add(store, "hv:release")
    assert "stolen-token" not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "extra"),
    [
        ("pkcs11:token=t", "hsm"),
        ("awskms:alias/a", "aws"),
        ("hv:a", "vault"),
        ("azurekms://v.vault.azure.net/keys/k", "azure"),
        ("gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", "gcp"),
    ],
)
def test_a_package_that_isnt_installed_is_said_with_the_command_that_installs_it(
    store: FileKeyStore, monkeypatch: pytest.MonkeyPatch, uri: str, extra: str
) -> None:
    packages = sdks.SDKS[uri.partition(":")[0]].packages
    for package in packages:
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Uninstalled(packages), *sys.meta_path])
    with pytest.raises(InvalidSetting) as refused:
        add(store, uri)
    assert f"pip install 'trustkit[{extra}]'" in refused.value.hint


@pytest.mark.parametrize("scheme", sorted(set(sdks.SDKS) - {"pkcs11"}))
def test_the_librarys_signer_is_where_we_look_for_it(scheme: str) -> None:
    """Its module is private, and is read again once its package is there."""
    sdk = sdks.SDKS[scheme]
    module = __import__(f"securesystemslib.signer.{sdk.module}", fromlist=["x"])
    assert scheme == getattr(module, sdk.signer).SCHEME
    assert [name for name in vars(module) if name.endswith("_IMPORT_ERROR")]
