"""The PEM of one private key as Go writes it: headers, an empty line, base64.

``role`` says what the key is for, ``gun`` of which collection, ``path`` under which id an export holds it.  Nothing
protects the headers; what is made of them is checked as names first.
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from trustkit.errors import InvalidName, KeyFileInvalid

MAX_BYTES = 8192
"""An RSA key of 4096 bits takes 3,400."""
ENCRYPTED = "ENCRYPTED PRIVATE KEY"
_BEGIN = "-----BEGIN "
_FORM = re.compile(
    r"\s*-----BEGIN (?P<label>(?:ENCRYPTED |EC |RSA |ED25519 )?PRIVATE KEY)-----\n"
    r"(?P<headers>(?:[A-Za-z][A-Za-z0-9-]*: [^\n]*\n)*)\n?"
    r"(?P<body>[A-Za-z0-9+/=\n]+)"
    r"-----END (?P=label)-----\s*\Z"
)
_VALUE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*\Z")
_TRADITIONAL = re.compile(r"AES-256-CBC,([0-9a-fA-F]{32})\Z")


@dataclass(frozen=True, slots=True)
class Pem:
    """One block: its label without BEGIN, the headers, and the bytes; ``iv`` where it is of the traditional form."""

    label: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    iv: bytes | None = None

    @property
    def is_encrypted(self) -> bool:
        """Whether it takes a passphrase."""
        return self.label == ENCRYPTED or self.iv is not None


def is_notarys(data: bytes) -> bool:
    """Whether this is a private key with a header that only Notary writes."""
    return re.search(rb"PRIVATE KEY-----\r?\n(?:[A-Za-z-]+: [^\n]*\n)*role: ", data[:MAX_BYTES]) is not None


def parse(data: bytes) -> Pem:
    """Reads the one private key of a file.

    Raises:
        KeyFileInvalid: too long, none, several, damaged, a header twice, an encryption that Notary never wrote.
    """
    if len(data) > MAX_BYTES:
        raise KeyFileInvalid(f"It is longer than the {MAX_BYTES} bytes that a key file of Docker's can have.")
    try:
        text = data.decode("ascii").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise KeyFileInvalid("It is no text: damaged, or no key file.") from error
    if text.count(_BEGIN) > 1:
        raise KeyFileInvalid(
            f"It holds {text.count(_BEGIN)} blocks, and a key file holds one key.", hint="Split it, a file for each."
        )
    match = _FORM.match(text)
    if not match:
        raise KeyFileInvalid("It is damaged, or holds no private key in PEM as Docker and Notary write it.")
    headers = _headers(match["headers"])
    try:
        body = base64.b64decode(match["body"].replace("\n", ""), validate=True)
    except binascii.Error as error:
        raise KeyFileInvalid("Its private key is no base64.") from error
    return Pem(match["label"], headers, body, _iv(match["label"], headers, body))


def render(headers: Mapping[str, str], body: bytes) -> bytes:
    """An encrypted key as Go writes it, headers in order; raises InvalidName for one that isn't one line."""
    for name, value in headers.items():
        if not _VALUE.match(value):
            raise InvalidName(f"The {name} of a key can't be written into its file: it isn't one line of ASCII.")
    lines = [f"-----BEGIN {ENCRYPTED}-----", *(f"{name}: {headers[name]}" for name in sorted(headers)), ""]
    lines += textwrap.wrap(base64.b64encode(body).decode("ascii"), 64)
    return "\n".join([*lines, f"-----END {ENCRYPTED}-----", ""]).encode("ascii")


def _headers(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        if name in found:
            raise KeyFileInvalid(f"Its header {name[:40]!r} stands there twice.")
        found[name] = value.strip()
    return found


def _iv(label: str, headers: Mapping[str, str], body: bytes) -> bytes | None:
    said = headers.get("Proc-Type"), headers.get("DEK-Info")
    if said == (None, None):
        return None
    match = _TRADITIONAL.match(said[1] or "")
    if said[0] != "4,ENCRYPTED" or not match or label in (ENCRYPTED, "PRIVATE KEY") or not body or len(body) % 16:
        raise KeyFileInvalid("Its encryption is damaged, or not what Notary wrote: DEK-Info of AES-256-CBC.")
    return bytes.fromhex(match[1])
