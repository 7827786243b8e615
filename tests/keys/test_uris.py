"""URIs of keys: one spelling, nothing that isn't understood, and never a secret."""

from __future__ import annotations

import pytest

from trustkit.errors import UsageError
from trustkit.keys.uris import Pkcs11Uri, parse_token, parse_uri

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
GCP = "gcpkms:projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/3"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("pkcs11:token=ceremony;object=root", None),
        ("pkcs11:object=root;token=ceremony", "pkcs11:token=ceremony;object=root"),
        ("pkcs11:token=My%20Token;id=%01%02", None),
        ("pkcs11:token=a%3Bb;type=private", "pkcs11:token=a%3Bb"),
        ("pkcs11:token=t%c3%a9;id=a", "pkcs11:token=t%C3%A9;id=%61"),
        (
            "pkcs11:serial=1234;slot-id=7;manufacturer=Y;model=Z",
            "pkcs11:manufacturer=Y;model=Z;serial=1234;slot-id=7",
        ),
        ("pkcs11:token=t?module-path=/usr/lib/m.so", None),
        ("pkcs11:", None),
        ("hsm:", "pkcs11:id=%02"),
        ("hsm:258?label=YubiKey+PIV", "pkcs11:token=YubiKey%20PIV;id=%01%02"),
        (f"awskms:{ARN}", None),
        ("awskms:alias/release", None),
        ("hv:release", None),
        ("hv:release/3", None),
        ("azurekms://my-vault.vault.azure.net/keys/release/0123abcd", None),
        (GCP, None),
    ],
)
def test_a_uri_is_kept_in_one_spelling(text: str, kept: str | None) -> None:
    parsed = parse_uri(text)
    assert str(parsed) == (kept or text)
    assert parse_uri(str(parsed)) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "pkcs11:token=t?pin-value=hunter2",
        "pkcs11:token=t;pin-value=hunter2",
        "pkcs11:token=t?module-path=/m.so&pin-source=file:hunter2",
        "pkcs11:token=t?PIN-VALUE=hunter2",
        "hsm:2?label=t&pin=hunter2",
        "awskms:alias/x?secret=hunter2",
        "azurekms://me:hunter2@v.vault.azure.net/keys/k",
        "hv:release#hunter2",
    ],
)
def test_a_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_uri(text)
    assert "refused" in refused.value.message
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no URI"),
        ("root.pem", "no URI"),
        ("pkcs11:token=t\n", "no URI"),
        ("pkcs11:token=" + "t" * 3000, "no URI"),
        ("file:/etc/passwd", "not reached"),
        ("pkcs11:token", "NAME=VALUE"),
        ("pkcs11:token=", "NAME=VALUE"),
        ("pkcs11:token=a b", "NAME=VALUE"),
        ("pkcs11:token=%zz", "NAME=VALUE"),
        ("pkcs11:token=a;token=b", "twice"),
        ("pkcs11:tokn=a", "'tokn'"),
        ("pkcs11:token=a;module-path=/m.so", "'module-path'"),
        ("pkcs11:token=a?object=b", "'object'"),
        ("pkcs11:token=a?module-name=opensc", "'module-name'"),
        ("pkcs11:token=a?module-path=m.so", "absolute"),
        ("pkcs11:token=%ff", "UTF-8"),
        ("pkcs11:token=a%0ab", "control"),
        ("pkcs11:token=a;slot-id=x", "decimal"),
        ("pkcs11:token=a;type=cert", "type=private"),
        ("hsm:x", "names no key"),
        ("hsm:2?token=x", "names no key"),
        ("awskms:", "names no key"),
        ("hv:a/b/c", "names no key"),
        ("hv:a/0", "names no key"),
        ("azurekms://evil.example.com/keys/k", "names no key"),
        ("azurekms://v.vault.azure.net.evil.example/keys/k", "names no key"),
        ("gcpkms:projects/p", "names no key"),
    ],
)
def test_what_names_no_key_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_uri(text)


def test_a_key_is_made_on_tokens_only() -> None:
    assert parse_token("pkcs11:token=t") == Pkcs11Uri(token="t")
    with pytest.raises(UsageError, match="on a token"):
        parse_token("awskms:alias/x")
