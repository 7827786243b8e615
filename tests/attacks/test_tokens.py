"""Tokens that are forged, foreign, expired, outdated, or used where they don't belong (TRUST 8.1, 8.2, 7.5)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.attacks.victims import MANIFEST, Reply, ask, serving
from tests.conftest import StartRegistry
from tests.service import PASSWORD, Person, RunningService, run
from trustkit.authority.sealing import Sealer
from trustkit.authority.tokenkeys import Leaf, TokenKeys, thumbprint
from trustkit.store.database import SqlStore
from trustkit.store.kek import load_kek

REPOSITORY = "tokens/app"
PULL = f"repository:{REPOSITORY}:pull"


@dataclass(frozen=True)
class Desk:
    """A service, its people, and what a forger knows of it: the public certificate, and a token of his own."""

    service: RunningService
    alice: Person
    carol: Person
    leaf: Leaf
    ca: x509.Certificate

    @property
    def host(self) -> str:
        return self.service.host

    @property
    def metadata(self) -> str:
        return f"/v2/{self.host}/{REPOSITORY}/_trust/metadata"

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a token that carol could get now, with changes; None takes a claim away."""
        now = int(time.time())
        access = [{"type": "repository", "name": REPOSITORY, "actions": ["pull"]}]
        mine = {"iss": self.host, "aud": self.host, "sub": "carol", "jti": "1", "access": access}
        mine |= {"iat": now, "nbf": now, "exp": now + 300, **changes}
        return {name: value for name, value in mine.items() if value is not None}

    def header(self, **changes: Any) -> dict[str, Any]:
        return {"typ": "JWT", "alg": "ES256", "kid": self.leaf.kid, "x5c": self.leaf.x5c, **changes}

    def use(self, token: str) -> list[Reply]:
        """What the token gets at the registry, at the trust data and at the door."""
        paths = (f"/v2/{REPOSITORY}/manifests/v1", f"{self.metadata}/timestamp.json", "/v2/")
        return [ask(self.host, "GET", path, token=token) for path in paths]

    def trade(self, form: dict[str, str]) -> Reply:
        """A request to the token endpoint."""
        body = urllib.parse.urlencode({"service": self.host, "scope": PULL, **form}).encode()
        return ask(self.host, "POST", "/oauth2/token", body, content_type="application/x-www-form-urlencoded")


async def _keys(service: RunningService) -> TokenKeys:
    """The service's own token keys, which no forger has: so all but one thing is right about a token made here."""
    store = await SqlStore.open(service.data / "trustkit.db")
    try:
        sealer = Sealer(load_kek(service.data / "kek", create=False))
        return await TokenKeys.open(store, sealer, issuer=service.host, now=datetime.now(UTC))
    finally:
        await store.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with serving(tmp_path_factory.mktemp("service")) as service:
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        carol = service.principal("carol", "AcrPull")
        gun = f"{service.host}/{REPOSITORY}"
        alice.push(f"{gun}:v1", "signed")
        assert alice("sign", f"{gun}:v1").status == 0
        keys = asyncio.run(_keys(service))
        ca = x509.load_pem_x509_certificate((service.data / "token-ca.crt").read_bytes())
        yield Desk(service, alice, carol, keys.leaf(datetime.now(UTC)), ca)


def refused(replies: list[Reply]) -> None:
    for reply in replies:
        assert (reply.status, reply.code, reply.slug) == (401, "UNAUTHORIZED", "login-required"), reply
        assert reply.headers["www-authenticate"].startswith("Bearer realm=")


def _segment(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def raw(header: dict[str, Any], claims: dict[str, Any], mac: Callable[[bytes], bytes] = lambda _: b"") -> str:
    """A token of any header, which no library would make."""
    covered = _segment(header) + b"." + _segment(claims)
    return (covered + b"." + base64.urlsafe_b64encode(mac(covered)).rstrip(b"=")).decode()


def genuine(desk: Desk, claims: dict[str, Any] | None = None, **header: Any) -> str:
    """A token that the service's own key signs."""
    payload = json.dumps(claims or desk.claims()).encode()
    return jwt.PyJWS().encode(payload, desk.leaf.private, "ES256", desk.header(**header))


def hmac_with(secret: bytes, digest: str = "sha256") -> Callable[[bytes], bytes]:
    return lambda covered: hmac.digest(secret, covered, digest)


class Forger:
    """A key pair of somebody else, with certificates that say what he likes."""

    def __init__(self, ca: x509.Certificate) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.root = ec.generate_private_key(ec.SECP256R1())
        self.false_ca = self.certificate(ca.subject, ca.subject, self.root, self.root, ca=True)
        self.kid = thumbprint(self.key.public_key())

    def certificate(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        by: ec.EllipticCurvePrivateKey,
        *,
        ca: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"), False
        )
        usage |= {"digital_signature": True, "key_cert_sign": ca, "encipher_only": False, "decipher_only": False}
        return builder.add_extension(x509.KeyUsage(**usage), critical=True).sign(by, hashes.SHA256())

    def leaf(self, ca: x509.Certificate, by: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        return self.certificate(x509.Name([]), ca.subject, self.key, by)

    def token(self, desk: Desk, *chain: x509.Certificate, **header: Any) -> str:
        x5c = [base64.b64encode(link.public_bytes(Encoding.DER)).decode() for link in chain]
        return jwt.encode(
            desk.claims(sub="alice"), self.key, "ES256", headers=desk.header(kid=self.kid, **{"x5c": x5c, **header})
        )


def test_a_genuine_token_is_taken(desk: Desk) -> None:
    for token in (desk.carol.token(desk.host, PULL), genuine(desk)):
        assert [reply.status for reply in desk.use(token)] == [200, 200, 200]


def _jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    return dict(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True))


FORGED: dict[str, Callable[[Desk, Forger], str]] = {
    "alg none": lambda d, _: raw(d.header(alg="none"), d.claims()),
    "alg nOnE": lambda d, _: raw(d.header(alg="nOnE"), d.claims()),
    "alg none, with the old signature": lambda d, _: (
        raw(d.header(alg="none"), d.claims()) + genuine(d).rpartition(".")[2]
    ),
    "no alg": lambda d, _: raw({"typ": "JWT", "kid": d.leaf.kid, "x5c": d.leaf.x5c}, d.claims()),
    "no signature": lambda d, _: raw(d.header(), d.claims()),
    "HS256 with the CA's PEM": lambda d, _: raw(
        d.header(alg="HS256"), d.claims(), hmac_with(d.ca.public_bytes(Encoding.PEM))
    ),
    "HS256 with the CA's DER": lambda d, _: raw(
        d.header(alg="HS256"), d.claims(), hmac_with(d.ca.public_bytes(Encoding.DER))
    ),
    "HS256 with the public key's PEM": lambda d, _: raw(d.header(alg="HS256"), d.claims(), hmac_with(_public_pem(d))),
    "HS256 with what x5c says": lambda d, _: raw(
        d.header(alg="HS256"), d.claims(), hmac_with(d.leaf.x5c[0].encode())
    ),
    "ES256 in name, HS256 in truth": lambda d, _: raw(d.header(), d.claims(), hmac_with(_public_pem(d))),
    "HS512": lambda d, _: raw(d.header(alg="HS512"), d.claims(), hmac_with(_public_pem(d), "sha512")),
    "another payload under a genuine signature": lambda d, _: _swapped(genuine(d), d.claims(sub="alice")),
    "a payload with more access": lambda d, _: _swapped(
        genuine(d),
        d.claims(access=[{"type": "repository", "name": REPOSITORY, "actions": ["pull", "push", "sign"]}]),
    ),
    "own key, genuine header": lambda d, f: jwt.encode(d.claims(), f.key, "ES256", headers=d.header()),
    "own key, own certificate": lambda d, f: f.token(d, f.leaf(f.false_ca, f.root), f.false_ca),
    "own key, own certificate before the genuine CA": lambda d, f: f.token(d, f.leaf(d.ca, f.root), d.ca),
    "own certificate under a genuine leaf": lambda d, f: f.token(d, f.leaf(d.leaf.certificate, d.leaf.private), d.ca),
    "own certificate under a genuine leaf, all shown": lambda d, f: f.token(
        d, f.leaf(d.leaf.certificate, d.leaf.private), d.leaf.certificate, d.ca
    ),
    "own key beside the genuine chain": lambda d, f: f.token(d, d.leaf.certificate, d.ca),
    "the CA as its own leaf": lambda d, f: f.token(d, d.ca, d.ca),
    "own key as jwk": lambda d, f: jwt.encode(d.claims(), f.key, "ES256", headers=d.header(jwk=_jwk(f.key))),
    "own keys by jku": lambda d, f: f.token(d, d.leaf.certificate, d.ca, jku="http://127.0.0.1:1/keys"),
    "own certificate by x5u": lambda d, f: f.token(d, d.leaf.certificate, d.ca, x5u="http://127.0.0.1:1/crt"),
    "no chain": lambda d, _: genuine(d, x5c=[]),
    "a chain that is text": lambda d, _: genuine(d, x5c=d.leaf.x5c[0]),
    "a chain that is no base64": lambda d, _: genuine(d, x5c=["!!!", d.leaf.x5c[1]]),
    "another kid": lambda d, f: genuine(d, kid=f.kid),
    "no kid": lambda d, _: jwt.encode(d.claims(), d.leaf.private, "ES256", headers={"x5c": d.leaf.x5c}),
    "a kid that is a path": lambda d, _: genuine(d, kid="../../kek"),
    "a member that it calls critical": lambda d, _: genuine(d, crit=["exp"]),
    "one part more": lambda d, _: genuine(d) + ".x",
    "one part less": lambda d, _: genuine(d).rpartition(".")[0],
    "nothing": lambda d, _: "..",
    "no JSON": lambda d, _: "YQ.YQ.YQ",
    "17 KB": lambda d, _: genuine(d, d.claims(jti="x" * 12_000)),
    "nested without end": lambda d, _: (
        base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=") + ".e30." + genuine(d).rpartition(".")[2]
    ),
}


def _public_pem(desk: Desk) -> bytes:
    return desk.leaf.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _swapped(token: str, claims: dict[str, Any]) -> str:
    header, _, signature = token.split(".")
    return ".".join((header, _segment(claims).decode(), signature))


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_token(desk: Desk, how: str) -> None:
    refused(desk.use(FORGED[how](desk, Forger(desk.ca))))


def _at(seconds: int, life: int = 300) -> dict[str, int]:
    now = int(time.time()) + seconds
    return {"iat": now, "nbf": now, "exp": now + life}


CLAIMS: dict[str, Callable[[Desk], dict[str, Any]]] = {
    "another audience": lambda d: {"aud": "registry.example.com"},
    "an audience like ours": lambda d: {"aud": f"{d.host}.example.com"},
    "an audience that begins like ours": lambda d: {"aud": d.host[:-1]},
    "another name of ours": lambda d: {"aud": d.host.replace("127.0.0.1", "localhost")},
    "a list of audiences": lambda d: {"aud": [d.host]},
    "no audience": lambda d: {"aud": None},
    "another issuer": lambda d: {"iss": "registry.example.com"},
    "a list of issuers": lambda d: {"iss": [d.host]},
    "no issuer": lambda d: {"iss": None},
    "expired": lambda d: _at(-400),
    "expired long ago": lambda d: _at(-400 * 24 * 3600),
    "not yet valid": lambda d: _at(120),
    "valid from the future on, to the past": lambda d: _at(120) | {"exp": int(time.time()) + 60},
    "valid for a year": lambda d: _at(0, 365 * 24 * 3600),
    "valid for ever": lambda d: {"exp": None},
    "valid until infinity": lambda d: {"exp": 10**30},
    "a time that is text": lambda d: {"exp": str(int(time.time()) + 300)},
    "a time that is true": lambda d: {"nbf": True},
    "a time that is a float": lambda d: {"nbf": time.time()},
    "no nbf": lambda d: {"nbf": None},
    "no iat": lambda d: {"iat": None},
    "no subject": lambda d: {"sub": None},
    "a subject that nobody can have": lambda d: {"sub": "../alice"},
    "no jti": lambda d: {"jti": None},
    "no access": lambda d: {"access": None},
    "access that is an object": lambda d: {"access": {"type": "repository", "name": REPOSITORY, "actions": ["pull"]}},
    "actions that are text": lambda d: {"access": [{"type": "repository", "name": REPOSITORY, "actions": "pull"}]},
}


@pytest.mark.parametrize("what", CLAIMS)
def test_a_claim_that_is_wrong_under_a_genuine_signature(desk: Desk, what: str) -> None:
    refused(desk.use(genuine(desk, desk.claims(**CLAIMS[what](desk)))))


@pytest.mark.parametrize(
    "access",
    [
        [],
        [{"type": "repository", "name": "tokens/app2", "actions": ["pull"]}],
        [{"type": "repository", "name": "tokens", "actions": ["pull"]}],
        [{"type": "repository", "name": "tokens/*", "actions": ["pull"]}],
        [{"type": "repository", "name": "*", "actions": ["*"]}],
        [{"type": "repository", "name": REPOSITORY, "actions": ["*"]}],
        [{"type": "repository", "name": f"evil.example/{REPOSITORY}", "actions": ["pull"]}],
        [{"type": "registry", "name": REPOSITORY, "actions": ["pull"]}],
        [{"type": "repository", "name": REPOSITORY.upper(), "actions": ["pull"]}],
    ],
)
def test_access_to_something_else(desk: Desk, access: list[object]) -> None:
    registry, trust, _ = desk.use(genuine(desk, desk.claims(access=access)))
    for reply in (registry, trust):
        assert (reply.status, reply.code) == (401, "UNAUTHORIZED")
        assert 'error="insufficient_scope"' in reply.headers["www-authenticate"]


def test_a_token_says_more_than_its_owners_roles(desk: Desk) -> None:
    every = [{"type": "repository", "name": REPOSITORY, "actions": ["pull", "push", "sign", "delete", "reset"]}]
    token = genuine(desk, desk.claims(access=every))
    assert [reply.status for reply in desk.use(token)] == [200, 200, 200]
    push = ask(desk.host, "POST", f"/v2/{REPOSITORY}/blobs/uploads/", b"", token=token)
    assert (push.status, push.error["detail"]["missing"]) == (401, ["AcrPush"])
    publish = ask(desk.host, "POST", desk.metadata, b"", token=token)
    assert (publish.status, publish.slug) == (403, "role-missing")
    assert publish.error["detail"]["missing"] == ["AcrPush", "AcrImageSigner"]


@pytest.mark.parametrize(
    "sent", ["Basic {basic}", "Bearer", "Bearer ", "Bearer {t} {t}", "{t}", "Bearer {t}, Basic x"]
)
def test_another_authorization_than_one_bearer_token(desk: Desk, sent: str) -> None:
    basic = base64.b64encode(f"carol:{PASSWORD}".encode()).decode()
    value = sent.format(t=desk.carol.token(desk.host, PULL), basic=basic)
    refused([ask(desk.host, "GET", f"/v2/{REPOSITORY}/manifests/v1", authorization=value)])


class TestOutdated:
    @staticmethod
    def soon_refused(request: Callable[[], Reply]) -> Reply:
        """The first refusal, which has to come within a second or so; a busy machine gets more."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            reply = request()
            if reply.status not in (200, 202):
                return reply
            time.sleep(0.05)
        pytest.fail("what was taken away still works")

    def test_a_token_from_before_a_role_was_revoked(self, desk: Desk) -> None:
        dave = desk.service.principal("dave", "AcrPush", "AcrImageSigner")
        token = dave.token(desk.host, f"{PULL},push,sign")
        online, uploads = f"{desk.metadata[: -len('metadata')]}online-keys", f"/v2/{REPOSITORY}/blobs/uploads/"
        assert ask(desk.host, "GET", online, token=token).status == 200
        assert ask(desk.host, "POST", uploads, b"", token=token).status == 202

        assert desk.service.admin("role", "revoke", "dave", "AcrImageSigner").status == 0
        at_once = ask(desk.host, "GET", online, token=token)
        assert (at_once.status, at_once.slug) == (403, "role-missing"), "publishing reads roles in its transaction"
        assert at_once.error["detail"]["missing"] == ["AcrImageSigner"]
        assert ask(desk.host, "POST", uploads, b"", token=token).status == 202

        assert desk.service.admin("role", "revoke", "dave", "AcrPush").status == 0
        reply = self.soon_refused(lambda: ask(desk.host, "POST", uploads, b"", token=token))
        assert (reply.status, reply.slug) == (401, "role-missing")
        assert dave("verify", f"{desk.host}/{REPOSITORY}:v1").status in (3, 5)

    @pytest.mark.parametrize("end", ["disable", "remove"])
    def test_a_token_of_a_principal_who_is_gone(self, desk: Desk, end: str) -> None:
        name = f"erin-{end}"
        erin = desk.service.principal(name, "AcrPull")
        token, refresh = erin.token(desk.host, PULL), _refresh(erin, desk.host)
        assert [reply.status for reply in desk.use(token)] == [200, 200, 200]
        assert desk.trade({"grant_type": "refresh_token", "refresh_token": refresh}).status == 200
        assert desk.service.admin("principal", end, name).status == 0
        self.soon_refused(lambda: ask(desk.host, "GET", f"/v2/{REPOSITORY}/manifests/v1", token=token))
        refused(desk.use(token))
        for form in (
            {"grant_type": "refresh_token", "refresh_token": refresh},
            {"grant_type": "password", "username": name, "password": PASSWORD},
        ):
            assert (desk.trade(form).status, desk.trade(form).code) == (401, "UNAUTHORIZED")
        assert erin("verify", f"{desk.host}/{REPOSITORY}:v1").status in (3, 5)

    def test_a_token_of_somebody_else_who_had_the_name(self, desk: Desk) -> None:
        """Who was removed has a token with minutes left, and another person has the name now, and its roles."""
        former = desk.service.principal("gwen", "AcrPull").token(desk.host, PULL)
        assert [reply.status for reply in desk.use(former)] == [200, 200, 200]
        assert desk.service.admin("principal", "remove", "gwen").status == 0
        own = desk.service.principal("gwen", "AcrPull").token(desk.host, PULL)
        assert [reply.status for reply in desk.use(own)] == [200, 200, 200]
        self.soon_refused(lambda: ask(desk.host, "GET", f"{desk.metadata}/timestamp.json", token=former))
        refused(desk.use(former))
        assert [reply.status for reply in desk.use(own)] == [200, 200, 200]

    def test_a_token_from_before_a_new_password(self, desk: Desk) -> None:
        """Whoever stole the password had a token, too."""
        hugo = desk.service.principal("hugo", "AcrPull")
        stolen = hugo.token(desk.host, PULL)
        assert [reply.status for reply in desk.use(stolen)] == [200, 200, 200]
        changed = desk.service.admin("principal", "passwd", "hugo", "--password-stdin", feed="another, longer one")
        assert changed.status == 0, changed.err
        self.soon_refused(lambda: ask(desk.host, "GET", f"{desk.metadata}/timestamp.json", token=stolen))
        refused(desk.use(stolen))
        form = {"grant_type": "password", "username": "hugo", "password": "another, longer one"}
        own = desk.trade(form).json["access_token"]
        assert [reply.status for reply in desk.use(own)] == [200, 200, 200]

    def test_a_token_of_a_version_that_told_nothing_of_its_holder(self, desk: Desk) -> None:
        """Replicas are updated one after the other."""
        claims = desk.claims(jti="as-it-was_before")
        plain = jwt.encode(claims, desk.leaf.private, "ES256", headers=desk.header())
        assert [reply.status for reply in desk.use(plain)] == [200, 200, 200]
        for jti in ("0-1.x", ".", "0-1."):
            made = jwt.encode(claims | {"jti": jti}, desk.leaf.private, "ES256", headers=desk.header())
            assert [reply.status for reply in desk.use(made)] == ([200] * 3 if jti == "." else [401] * 3)

    def test_a_refresh_token_from_before_a_new_password(self, desk: Desk) -> None:
        frank = desk.service.principal("frank", "AcrPull")
        refresh = _refresh(frank, desk.host)
        form = {"grant_type": "refresh_token", "refresh_token": refresh}
        assert desk.trade(form).status == 200
        done = desk.service.admin("principal", "passwd", "frank", "--password-stdin", feed="another password")
        assert done.status == 0, done.err
        assert self.soon_refused(lambda: desk.trade(form)).status == 401
        assert desk.trade({"grant_type": "password", "username": "frank", "password": PASSWORD}).status == 401
        new = {"grant_type": "password", "username": "frank", "password": "another password"}
        assert desk.trade(new).status == 200


def _refresh(person: Person, host: str) -> str:
    config = json.loads((person.home / "docker" / "config.json").read_text())
    return str(config["auths"][host]["identitytoken"])


class TestTheOtherWayRound:
    def test_a_refresh_token_is_no_bearer(self, desk: Desk) -> None:
        refresh = _refresh(desk.carol, desk.host)
        assert desk.trade({"grant_type": "refresh_token", "refresh_token": refresh}).status == 200
        refused(desk.use(refresh))

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda t: t[:-1],
            lambda t: t + "x",
            lambda t: t.swapcase(),
            lambda t: t + "\0",
            lambda t: "",
            lambda t: "%",
        ],
        ids=["shorter", "longer", "case", "NUL", "empty", "wildcard"],
    )
    def test_a_refresh_token_that_nobody_gave(self, desk: Desk, spoil: Callable[[str], str]) -> None:
        refresh = spoil(_refresh(desk.carol, desk.host))
        assert desk.trade({"grant_type": "refresh_token", "refresh_token": refresh}).status == 401

    def test_its_hash_from_a_stolen_database_is_no_token(self, desk: Desk) -> None:
        digest = hashlib.sha256(_refresh(desk.carol, desk.host).encode())
        for stolen in (digest.hexdigest(), base64.b64encode(digest.digest()).decode()):
            assert desk.trade({"grant_type": "refresh_token", "refresh_token": stolen}).status == 401

    def test_an_access_token_is_no_refresh_token(self, desk: Desk) -> None:
        access = desk.carol.token(desk.host, PULL)
        assert desk.trade({"grant_type": "refresh_token", "refresh_token": access}).status == 401
        assert desk.trade({"grant_type": "password", "username": "carol", "password": access}).status == 401

    def test_a_refresh_token_of_another_service(self, desk: Desk) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": _refresh(desk.carol, desk.host)}
        assert desk.trade({**form, "service": "registry.example.com"}).status == 400


def straight(registry: str, service: str, token: str, repository: str, method: str = "GET") -> Reply:
    """A request to docker-registry itself; its challenge has to be that of the service it serves."""
    path = f"/v2/{repository}/manifests/v1"
    reply = ask(registry, method, path, b"{}" if method == "PUT" else None, token=token, accept=MANIFEST)
    if reply.status == 401:
        assert f'service="{service}"' in reply.headers["www-authenticate"]
    return reply


@pytest.mark.real
def test_a_clients_token_straight_at_the_registry_behind(
    tmp_path: Path, start_docker_registry: StartRegistry
) -> None:
    plain, strict, images = "plain/app", "strict/app", tmp_path / "images"
    images.mkdir()
    (tmp_path / "service").mkdir()
    with serving(tmp_path / "service") as service:
        common = {"issuer": service.host, "rootcertbundle": str(service.data / "token-ca.crt")}
        common["realm"] = f"{service.url}/oauth2/token"
        behind = start_docker_registry(images, auth={"token": {**common, "service": "behind.test"}})
        direct = start_docker_registry(images, auth={"token": {**common, "service": "direct.test"}})
        service.stop()
        service.arguments = ("--upstream", f"http://{behind}", "--upstream-service", "behind.test")
        service.arguments += ("--token-service", "direct.test")
        service.start()
        assert service.admin("repository", "set", "strict/*", "--trust-only").status == 0
        alice = service.principal("alice", "AcrPush", "AcrImageSigner")
        carol = service.principal("carol", "AcrPull")
        for repository in (plain, strict):
            alice.push(f"{service.host}/{repository}:v1", repository)
        assert alice("sign", f"{service.host}/{strict}:v1").status == 0

        for repository in (plain, strict):
            token = carol.token(service.host, f"repository:{repository}:pull")
            path = f"/v2/{repository}/manifests/v1"
            assert ask(service.host, "GET", path, token=token, accept=MANIFEST).status == 200
            assert straight(behind, "behind.test", token, repository).status == 401
            pushing = alice.token(service.host, f"repository:{repository}:pull,push,sign")
            for method in ("GET", "PUT"):
                assert straight(behind, "behind.test", pushing, repository, method).status == 401
                assert straight(direct, "direct.test", pushing, repository, method).status == 401

        def got(name: str, audience: str, repository: str) -> Reply:
            form = {"grant_type": "password", "username": name, "password": PASSWORD, "service": audience}
            body = urllib.parse.urlencode({**form, "scope": f"repository:{repository}:pull"}).encode()
            kind = "application/x-www-form-urlencoded"
            return ask(service.host, "POST", "/oauth2/token", body, content_type=kind)

        assert got("alice", "behind.test", plain).status == 400, "nobody gets tokens for the registry behind"
        for name, repository, status in (("carol", plain, 200), ("carol", strict, 401), ("alice", strict, 200)):
            token = got(name, "direct.test", repository).json["token"]
            assert straight(direct, "direct.test", token, repository).status == status
            assert straight(behind, "behind.test", token, repository).status == 401
            assert ask(service.host, "GET", f"/v2/{repository}/manifests/v1", token=token).status == 401

    open_door = ["serve", "--data-dir", str(tmp_path / "other"), "--listen", "127.0.0.1:0", "--trust-only"]
    open_door += ["--upstream", f"http://{direct}", "--token-service", "direct.test"]
    result = run(open_door, {})
    assert (result.status, result.out, "walked round" in result.err) == (2, "", True), result.err
