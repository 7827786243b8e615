"""Access tokens: issued as docker-registry 2.8 and 3.x read them, and verified strictly (TRUST 8.2)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from trustkit.authority.tokenkeys import TokenKeys, thumbprint
from trustkit.core.bounded import Bounded
from trustkit.core.certerrors import UNREADABLE
from trustkit.core.names import PrincipalName, Repository
from trustkit.errors import LoginRequired, TrustkitError

LIFE = timedelta(minutes=5)
LEEWAY = timedelta(seconds=5)
ALGORITHM = "ES256"
MAX_TOKEN = 16 * 1024
"""Characters of a token that is looked at; a chain and 32 scopes take 8,000."""

KEPT_ENTRIES = 8_192
"""Of all tokens that are kept together, with one for each token itself; one takes up to 0.8 KiB."""
KEPT_LEAVES = 16
_REQUIRED = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "access"]


@dataclass(frozen=True, slots=True)
class Access:
    """One entry of a token's ``access``: a name as it was asked for, and what may be done to it."""

    type: str
    name: str
    actions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says: an upper bound of what its bearer may do."""

    principal: PrincipalName
    audience: str
    access: tuple[Access, ...]
    issued: datetime
    expires: datetime
    token_id: str

    @property
    def holder(self) -> str:
        """Whose it is, as ``PrincipalRecord.holder``; empty in tokens of other versions."""
        holder, found, _ = self.token_id.partition(".")
        return holder if found else ""

    def actions_on(self, *names: str) -> frozenset[str]:
        """The actions on a repository, under any of the names that it has (bare, or with one of our hosts)."""
        found = [entry.actions for entry in self.access if entry.type == "repository" and entry.name in names]
        return frozenset().union(*found)

    def actions(self, repository: Repository, hosts: Iterable[object] = ()) -> frozenset[str]:
        """The actions on a repository, named bare or behind one of these hosts."""
        return self.actions_on(str(repository), *(f"{host}/{repository}" for host in hosts))


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token with its life."""

    text: str
    issued: datetime
    expires: datetime

    def __repr__(self) -> str:
        return f"IssuedToken(..., expires={self.expires.isoformat()})"


class TokenIssuer:
    """Makes access tokens.

    Args:
        issuer: the ``iss`` that registries are configured with.
        told: gets each token, and what it says.
    """

    def __init__(
        self,
        keys: TokenKeys,
        *,
        issuer: str,
        told: Callable[[str, Claims], None] = lambda _text, _claims: None,
    ) -> None:
        self._keys = keys
        self._told = told
        self.issuer = issuer

    def issue(
        self, principal: PrincipalName, *, audience: str, access: Iterable[Access], now: datetime, holder: str = ""
    ) -> IssuedToken:
        """A token of 5 minutes for one audience.

        Args:
            holder: who has the principal's name now; empty where that is nobody who could change.
        """
        leaf = self._keys.leaf(now)
        issued = now.replace(microsecond=0)
        token_id = f"{holder}.{secrets.token_urlsafe(16)}" if holder else secrets.token_urlsafe(16)
        says = Claims(principal, audience, tuple(access), issued, issued + LIFE, token_id)
        claims = {
            "iss": self.issuer,
            "aud": says.audience,
            "sub": str(says.principal),
            "iat": int(says.issued.timestamp()),
            "nbf": int(says.issued.timestamp()),
            "exp": int(says.expires.timestamp()),
            "jti": says.token_id,
            "access": [{"type": a.type, "name": a.name, "actions": sorted(a.actions)} for a in says.access],
        }
        header = {"kid": leaf.kid, "x5c": leaf.x5c}
        text = jwt.encode(claims, leaf.private, ALGORITHM, headers=header)
        self._told(text, says)
        return IssuedToken(text, says.issued, says.expires)


class TokenVerifier:
    """Verifies tokens of one issuer for one audience; keeps what it verified, by hash, until it expires.

    Args:
        certificate: the CA's certificate; no other is believed, whatever a token carries.
        audience: the one ``aud`` that is accepted.
        limit: entries of tokens that are kept, with one for each token.
    """

    def __init__(
        self,
        certificate: x509.Certificate,
        *,
        issuer: str,
        audience: str,
        clock: Callable[[], datetime],
        limit: int = KEPT_ENTRIES,
    ) -> None:
        self._ca = certificate
        self._ca_der = certificate.public_bytes(Encoding.DER)
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._tokens: Bounded[bytes, Claims] = Bounded(limit)
        self._leaves: Bounded[bytes, x509.Certificate] = Bounded(KEPT_LEAVES)

    def verify(self, token: str) -> Claims:
        """What the token says.

        Raises:
            LoginRequired: not one of our tokens, for another audience, or not valid now.
        """
        if len(token) > MAX_TOKEN or not token.isascii():
            raise _refused("it is too long or not ASCII")
        now = self._clock()
        digest = hashlib.sha256(token.encode("ascii")).digest()
        claims = self._tokens.get(digest)
        if claims is None:
            claims = self._verify(token, now)
            self._keep(digest, claims)
        _check_times(claims, now)
        return claims

    def issued(self, token: str, claims: Claims) -> None:
        """Knows a token that this process has just made: whoever asks for one mostly shows it next.

        Args:
            claims: what it says; one for another audience stays unknown.
        """
        if claims.audience == self._audience and len(token) <= MAX_TOKEN:
            self._keep(hashlib.sha256(token.encode("ascii")).digest(), claims)

    def _keep(self, digest: bytes, claims: Claims) -> None:
        self._tokens.keep(digest, claims, 1 + len(claims.access))

    @property
    def size(self) -> int:
        """Entries of tokens that are kept, and one for each token."""
        return self._tokens.size

    def _verify(self, token: str, now: datetime) -> Claims:
        try:
            public = self._key(_header(token), now)
            payload = jwt.decode(
                token,
                public,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options={
                    "require": _REQUIRED,
                    "strict_aud": True,
                    "verify_exp": False,  # held against our clock below
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
            return _claims(payload)
        except (
            jwt.PyJWTError,
            OverflowError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
        ) as error:
            raise _refused(_reason(error)) from None
        except LoginRequired:
            raise
        except TrustkitError as error:
            raise _refused(error.message) from None

    def _key(self, header: Mapping[str, Any], now: datetime) -> ec.EllipticCurvePublicKey:
        if header.get("alg") != ALGORITHM or not set(header) <= {"alg", "typ", "kid", "x5c"}:
            raise _refused("its algorithm or header is not ours")
        chain = header.get("x5c")
        if not isinstance(chain, list) or len(chain) != 2 or not all(isinstance(link, str) for link in chain):
            raise _refused("it carries no certificate chain of ours")
        leaf_der, ca_der = (base64.b64decode(link, validate=True) for link in chain)
        if ca_der != self._ca_der:
            raise _refused("its certificate chain ends at a stranger's")
        leaf = self._leaf(leaf_der)
        if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
            raise _refused("its certificate is not valid now")
        public = leaf.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey) or header.get("kid") != thumbprint(public):
            raise _refused("its key id is not its key's")
        return public

    def _leaf(self, der: bytes) -> x509.Certificate:
        digest = hashlib.sha256(der).digest()
        leaf = self._leaves.get(digest)
        if leaf is None:
            try:
                leaf = x509.load_der_x509_certificate(der)
                leaf.verify_directly_issued_by(self._ca)
                constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
                usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
            except (*UNREADABLE, InvalidSignature, x509.ExtensionNotFound):
                raise _refused("its certificate is not signed by our CA") from None
            public = leaf.public_key()
            p256 = isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1)
            if constraints.ca or not usage.digital_signature or not p256:
                raise _refused("its certificate may not sign tokens")
            self._leaves.keep(digest, leaf)
        return leaf


def _header(token: str) -> dict[str, Any]:
    """What says which key the token is to be verified by; ``jwt.decode`` reads it once more, and strictly.

    PyJWT's own function for it takes the whole token apart, character by character: half of a verification.
    """
    segment = token.partition(".")[0]
    header = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    if not isinstance(header, dict):
        raise TypeError
    return header


def _claims(payload: Mapping[str, Any]) -> Claims:
    moments = [payload[name] for name in ("iat", "nbf", "exp")]
    if not all(type(moment) is int for moment in moments) or not isinstance(payload["access"], list):
        raise _refused("its claims are not of their types")
    issued, not_before, expires = (datetime.fromtimestamp(moment, UTC) for moment in moments)
    if not issued <= not_before <= expires or expires - issued > LIFE:
        raise _refused("its times are not ours")
    access = tuple(_access(entry) for entry in payload["access"])
    principal = PrincipalName.parse(payload["sub"])
    return Claims(principal, payload["aud"], access, not_before, expires, str(payload["jti"]))


def _access(entry: Mapping[str, Any]) -> Access:
    kind, name, actions = entry["type"], entry["name"], entry["actions"]
    if not isinstance(kind, str) or not isinstance(name, str) or not isinstance(actions, list):
        raise _refused("its claims are not of their types")
    return Access(kind, name, frozenset(str(action) for action in actions))


def _check_times(claims: Claims, now: datetime) -> None:
    if now >= claims.expires + LEEWAY:
        raise _refused("it expired")
    if now < claims.issued - LEEWAY:
        raise _refused("it is not valid yet")


def _reason(error: Exception) -> str:
    words = {
        jwt.InvalidSignatureError: "its signature is wrong",
        jwt.InvalidAudienceError: "it is for another service",
        jwt.InvalidIssuerError: "it is of another issuer",
        jwt.MissingRequiredClaimError: "a claim is missing",
    }
    return next((text for kind, text in words.items() if isinstance(error, kind)), "it can't be read")


def _refused(why: str) -> LoginRequired:
    return LoginRequired(f"The access token is refused: {why}.", hint="Log in again.")
