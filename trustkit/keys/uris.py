"""URIs of keys that are not files: on a token (RFC 7512) or in a cloud's key service.

A URI says where a key is, and never how to open it: one that carries a PIN or a secret is refused, since it would
stand in a file and in the process list.  There is one spelling of each URI that is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes

from trustkit.errors import UsageError

MAX_LENGTH = 2048
_PATH = ("token", "manufacturer", "model", "serial", "slot-id", "object", "id", "type")
_SECRET = ("pin-value", "pin-source", "pin", "password", "secret")
_ATTRIBUTE = re.compile(r"(?P<name>[a-z-]+)=(?P<value>(?:[A-Za-z0-9._~:\[\]@!$'()*+,=&/-]|%[0-9A-Fa-f]{2})*)\Z")
_SAFE = "._~-:[]@!$'()*+,="
_KMS = {
    "awskms": (re.compile(r"[A-Za-z0-9_:/.-]+"), "awskms:KEY, where KEY is a key id, an ARN or alias/NAME"),
    "hv": (re.compile(r"[A-Za-z0-9_.-]+(/[1-9][0-9]*)?"), "hv:NAME or hv:NAME/VERSION"),
    "azurekms": (
        re.compile(r"//[A-Za-z0-9-]+\.vault\.azure\.net/keys/[A-Za-z0-9-]+(/[0-9a-f]+)?"),
        "azurekms://VAULT.vault.azure.net/keys/NAME or .../NAME/VERSION",
    ),
    "gcpkms": (
        re.compile(
            r"projects/[^/?#@]+/locations/[^/?#@]+/keyRings/[^/?#@]+/cryptoKeys/[^/?#@]+/cryptoKeyVersions/\d+"
        ),
        "gcpkms:projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N",
    ),
}
SCHEMES = ("pkcs11", *_KMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Uri:
    """A key on a token: which token, which object on it, which module reaches it.

    What is empty (or None) matches everything; ``id`` is CKA_ID, ``module`` an absolute path.
    """

    token: str = ""
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    slot_id: int | None = None
    object: str = ""
    id: bytes = b""
    module: str = ""

    scheme = "pkcs11"

    def __str__(self) -> str:
        said = {
            "token": _quoted(self.token),
            "manufacturer": _quoted(self.manufacturer),
            "model": _quoted(self.model),
            "serial": _quoted(self.serial),
            "slot-id": "" if self.slot_id is None else str(self.slot_id),
            "object": _quoted(self.object),
            "id": "".join(f"%{byte:02X}" for byte in self.id),
        }
        path = ";".join(f"{name}={value}" for name, value in said.items() if value)
        return f"pkcs11:{path}" + (f"?module-path={quote(self.module, safe=_SAFE + '/')}" if self.module else "")

    @property
    def where(self) -> str:
        """The token in words."""
        if self.token:
            return f"the token {self.token!r}"
        if self.serial:
            return f"the token with serial number {self.serial}"
        return "the token" if self.slot_id is None else f"the token in slot {self.slot_id}"

    @property
    def what(self) -> str:
        """The object in words."""
        label = f"labelled {self.object!r}" if self.object else ""
        return " ".join(filter(None, (label, f"with id {self.id.hex()}" if self.id else "")))


@dataclass(frozen=True, slots=True)
class KmsUri:
    """A key in a key service; ``name`` is all that follows the scheme."""

    scheme: str
    name: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"


KeyUri = Pkcs11Uri | KmsUri


def parse_uri(text: str) -> KeyUri:
    """Reads a key's URI, of one of ``SCHEMES`` or in securesystemslib's form ``hsm:``.

    Raises:
        UsageError: another scheme or form, or a PIN or secret in it; the message doesn't repeat it.
    """
    scheme, colon, rest = text.partition(":")
    if not colon or len(text) > MAX_LENGTH or not text.isascii() or not text.isprintable():
        raise UsageError("That is no URI of a key.", hint=f"It begins with one of: {': '.join(SCHEMES)}:")
    if scheme == "pkcs11":
        return _pkcs11(rest)
    if scheme == "hsm":
        return _hsm(rest)
    if scheme not in _KMS:
        raise UsageError(
            f"Keys are not reached by URIs that begin with {scheme[:20]}:.", hint=f"Use {': '.join(SCHEMES)}:"
        )
    return _kms(scheme, rest)


def parse_token(text: str) -> Pkcs11Uri:
    """Reads the URI of a token, on which a key can be made; raises UsageError."""
    uri = parse_uri(text)
    if not isinstance(uri, Pkcs11Uri):
        raise UsageError(
            "A key is made on a token, of a pkcs11: URI.",
            hint="Make one in a key service with its own tools, then: trustkit key add URI",
        )
    return uri


def _kms(scheme: str, rest: str) -> KmsUri:
    form, spelling = _KMS[scheme]
    if re.match(r"//[^/]*@", rest) or "?" in rest or "#" in rest:
        raise UsageError(
            f"This {scheme}: URI carries more than the name of a key, maybe a secret; it is refused.",
            hint="Credentials come from the cloud's own settings, never from a URI.",
        )
    if not form.fullmatch(rest):
        raise UsageError(f"This {scheme}: URI names no key.", hint=f"Write {spelling}.")
    return KmsUri(scheme, rest)


def _hsm(rest: str) -> Pkcs11Uri:
    """securesystemslib's own form, ``hsm:[NUMBER][?label=TOKEN]``; the number is CKA_ID, 2 unless given."""
    number, _, query = rest.partition("?")
    said = parse_qsl(query, keep_blank_values=True)
    _refuse_secrets([name for name, _ in said])
    if not re.fullmatch(r"[0-9]{0,9}", number) or [name for name, _ in said] not in ([], ["label"]):
        raise UsageError("This hsm: URI names no key.", hint="Write hsm:NUMBER?label=TOKEN, or a pkcs11: URI.")
    wanted = int(number or 2)
    label = said[0][1] if said else ""
    return Pkcs11Uri(token=label, id=wanted.to_bytes(max(1, (wanted.bit_length() + 7) // 8), "big"))


def _pkcs11(rest: str) -> Pkcs11Uri:
    path, _, query = rest.partition("?")
    said = _attributes(path.split(";") if path else [])
    asked = _attributes(query.split("&") if query else [])
    _refuse_secrets([*said, *asked])
    if set(said) & set(asked) or set(asked) - {"module-path"} or set(said) - set(_PATH):
        wrong = sorted((set(said) - set(_PATH)) | (set(asked) - {"module-path"}) or set(said) & set(asked))[0]
        raise UsageError(
            f"The attribute {wrong!r} of this pkcs11: URI isn't understood, or is in the wrong half.",
            hint=f"Before the question mark: {', '.join(_PATH)}; after it: module-path.",
        )
    if said.pop("type", "private") != "private":
        raise UsageError("A pkcs11: URI of a signing key has type=private, or no type.")
    slot, module = said.get("slot-id"), unquote(asked.get("module-path", ""))
    if slot is not None and not re.fullmatch(r"[0-9]{1,18}", slot):
        raise UsageError("slot-id is a decimal number.")
    if "module-path" in asked and not module.startswith("/"):
        raise UsageError("module-path is the absolute path of a PKCS#11 module.")
    try:
        text = {name: unquote(said.get(name, ""), errors="strict") for name in _PATH if name not in ("id", "slot-id")}
    except UnicodeDecodeError as error:
        raise UsageError("This pkcs11: URI has bytes that are no UTF-8.") from error
    if not all(value.isprintable() for value in (*text.values(), module)):
        raise UsageError("This pkcs11: URI has control characters.")
    return Pkcs11Uri(
        token=text["token"],
        manufacturer=text["manufacturer"],
        model=text["model"],
        serial=text["serial"],
        slot_id=None if slot is None else int(slot),
        object=text["object"],
        id=unquote_to_bytes(said.get("id", "")),
        module=module,
    )


def _attributes(parts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in parts:
        _refuse_secrets([part.partition("=")[0]])
        match = _ATTRIBUTE.match(part)
        if not match or not match["value"]:
            raise UsageError(
                "This pkcs11: URI has a part that isn't NAME=VALUE.",
                hint="For example 'pkcs11:token=ceremony;object=root', in quotes; a blank is %20.",
            )
        if match["name"] in found:
            raise UsageError(f"The attribute {match['name']!r} stands twice in this pkcs11: URI.")
        found[match["name"]] = match["value"]
    return found


def _refuse_secrets(names: list[str]) -> None:
    secret = next((name for name in names if name.lower() in _SECRET), None)
    if secret is not None:
        raise UsageError(
            f"A URI with {secret!r} is refused: it would stand in a file and in the process list.",
            hint="Give the PIN as a passphrase (TRUSTKIT_HSM_PIN, a file, a prompt). If one stood here, change it.",
        )


def _quoted(text: str) -> str:
    return quote(text, safe=_SAFE)
