"""Access and refresh tokens: what is granted, to whom, for how long, and what ends them (TRUST 8.2)."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import json
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.authority.conftest import NOW, Play, Scene, assigned
from trustkit.authority import tokenkeys
from trustkit.authority.freshness import Freshness
from trustkit.authority.login import REFRESH_LIFE, TokenRequest, TokenService
from trustkit.authority.scopes import parse_scopes, repository_of
from trustkit.authority.sealing import Sealer
from trustkit.authority.settings import set_content_trust, set_trust_only
from trustkit.authority.tokenkeys import LEAF_LIFE, TokenKeys
from trustkit.authority.tokens import LEEWAY, LIFE, Access, Claims, TokenIssuer, TokenVerifier
from trustkit.core.access import Role
from trustkit.core.names import Host, PrincipalName, Repository
from trustkit.core.patterns import RepositoryPattern
from trustkit.errors import LoginRequired, Malformed, StateError
from trustkit.store.database import SqlStore

HOME, DIRECT = "registry.example.com", "direct.example.com"
HOSTS = (Host.parse(HOME), Host.parse("localhost:5080"))
SEALER = Sealer(b"k" * 32)
PASSWORD = "correct horse battery"
ALICE = PrincipalName("alice")
SECOND = timedelta(seconds=1)


class Desk:
    """The token service on a scene's store, and a registry that believes its tokens."""

    def __init__(self, it: Scene, keys: TokenKeys) -> None:
        self.keys = keys
        self.issuer = TokenIssuer(keys, issuer=HOME)
        self.service = TokenService(
            it.store,
            self.issuer,
            it.passwords,
            services={HOME: False, DIRECT: True},
            hosts=HOSTS,
            clock=it.clock,
        )
        self.verifier = self.fresh(it)

    def fresh(self, it: Scene, audience: str = HOME) -> TokenVerifier:
        """A verifier that has seen nothing yet."""
        return TokenVerifier(self.keys.certificate, issuer=HOME, audience=audience, clock=it.clock)

    def remember(self, it: Scene, fresh: Freshness) -> None:
        """Has the token service remember what refresh tokens get."""
        self.service = TokenService(
            it.store,
            self.issuer,
            it.passwords,
            services={HOME: False, DIRECT: True},
            hosts=HOSTS,
            clock=it.clock,
            fresh=fresh,
        )

    @classmethod
    async def at(cls, it: Scene) -> Desk:
        return cls(it, await TokenKeys.open(it.store, SEALER, issuer=HOME, now=it.now))

    async def ask(self, *scopes: str, service: str = HOME, password: str = PASSWORD) -> tuple[Access, ...]:
        """What alice is granted."""
        given_ = await self.service.by_password(TokenRequest(service, scopes), "alice", password)
        payload = jwt.decode(given_.token.text, options={"verify_signature": False})
        return tuple(Access(a["type"], a["name"], frozenset(a["actions"])) for a in payload["access"])


def pulls(name: str, *actions: str) -> Access:
    return Access("repository", name, frozenset(actions or ("pull",)))


def test_a_token_says_who_what_and_how_long(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", Role.ACR_PUSH, pattern="team/*", password=PASSWORD)
        desk = await Desk.at(it)
        request = TokenRequest(HOME, ("repository:team/app:pull,push,sign repository:other:pull",))
        granted = await desk.service.by_password(request, "alice", PASSWORD)
        assert granted.refresh_token is None
        claims = desk.verifier.verify(granted.token.text)
        assert (claims.principal, claims.audience) == (ALICE, HOME)
        assert claims.access == (pulls("team/app", "pull", "push"),), "sign isn't hers, other isn't either"
        assert (claims.issued, claims.expires) == (NOW, NOW + LIFE)
        header = jwt.get_unverified_header(granted.token.text)
        assert (header["alg"], len(header["x5c"])) == ("ES256", 2)
        assert x509.load_der_x509_certificate(base64.b64decode(header["x5c"][1])) == desk.keys.certificate
        payload = jwt.decode(granted.token.text, options={"verify_signature": False})
        assert payload["aud"] == HOME, "a string, as docker-registry 2.8 reads it"
        assert PASSWORD not in repr(granted)
        assert granted.token.text not in repr(granted)

    play(scene)


SCOPES: dict[str, tuple[str, tuple[Access, ...]]] = {
    "bare": ("repository:team/app:pull", (pulls("team/app"),)),
    "behind our name": (f"repository:{HOME}/team/app:pull", (pulls(f"{HOME}/team/app"),)),
    "behind a name with a port": ("repository:localhost:5080/team/app:pull", (pulls("localhost:5080/team/app"),)),
    "behind a stranger's name": ("repository:evil.example.com/team/app:pull", ()),
    "everything": ("repository:team/app:*", (pulls("team/app", "pull", "push"),)),
    "unknown actions": ("repository:team/app:pull,fly", (pulls("team/app"),)),
    "outside the pattern": ("repository:teams/app:pull", ()),
    "the prefix itself": ("repository:team:pull", ()),
    "upper case": ("repository:TEAM/app:pull", ()),
    "no action": ("repository:team/app:", ()),
    "no name": ("repository::pull", ()),
    "another type": ("registry:team/app:pull", ()),
    "plugin": ("repository(plugin):team/app:pull", ()),
    "dots": ("repository:team/../team/app:pull", ()),
    "the catalog without a role on everything": ("registry:catalog:*", ()),
    "none": ("", ()),
}


@pytest.mark.parametrize("case", SCOPES)
def test_what_is_granted_of_a_scope(play: Play, case: str) -> None:
    scope, expected = SCOPES[case]

    async def scene(it: Scene) -> None:
        await it.person("alice", Role.ACR_PUSH, pattern="team/*", password=PASSWORD)
        assert await (await Desk.at(it)).ask(scope) == expected

    play(scene)


@pytest.mark.parametrize(
    ("role", "pattern", "granted"),
    [(Role.READER, "*", True), (Role.ACR_PULL, "team/*", False), (Role.ACR_IMAGE_SIGNER, "*", False)],
)
def test_the_catalog_is_for_who_may_pull_everything(play: Play, role: Role, pattern: str, granted: bool) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", role, pattern=pattern, password=PASSWORD)
        expected = (Access("registry", "catalog", frozenset("*")),) if granted else ()
        assert await (await Desk.at(it)).ask("registry:catalog:*") == expected

    play(scene)


@pytest.mark.parametrize("signs", [False, True], ids=["AcrPush", "AcrPush and AcrImageSigner"])
@pytest.mark.parametrize("trust", ["enabled", "disabled"])
def test_a_registry_without_the_gate_is_pulled_from_by_signers_only(play: Play, signs: bool, trust: str) -> None:
    """TRUST 7.5: trust-only repositories have no pull scope for anybody else, and for nobody with trust off."""

    async def scene(it: Scene) -> None:
        await it.person("alice", Role.ACR_PUSH, *([Role.ACR_IMAGE_SIGNER] if signs else []), password=PASSWORD)
        async with it.store.write() as tx:
            team = RepositoryPattern.parse("team/*")
            await set_trust_only(tx, team, trust_only=True, actor="o", source="", now=it.now)
            await set_content_trust(tx, trust, unsafe_force=True, actor="o", source="", now=it.now)
        desk = await Desk.at(it)
        scope = ("repository:team/app:pull,push", "repository:open/app:pull,push")
        team_actions = {"pull", "push"} if signs and trust == "enabled" else {"push"}
        assert await desk.ask(*scope, service=DIRECT) == (
            pulls("team/app", *team_actions),
            pulls("open/app", "pull", "push"),
        )
        assert (await desk.ask(*scope))[0] == pulls("team/app", "pull", "push"), "the gate itself decides by digest"

    play(scene)


@pytest.mark.parametrize(
    ("after", "accepted"),
    [
        (-LEEWAY - SECOND, False),
        (-LEEWAY, True),
        (timedelta(0), True),
        (LIFE + LEEWAY - SECOND, True),
        (LIFE + LEEWAY, False),
        (timedelta(days=400), False),
    ],
)
def test_a_token_lives_for_its_five_minutes_also_where_it_was_seen_before(
    play: Play, after: timedelta, accepted: bool
) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", password=PASSWORD)
        desk = await Desk.at(it)
        text = (await desk.service.by_password(TokenRequest(HOME), "alice", PASSWORD)).token.text
        desk.verifier.verify(text)
        it.now += after
        for verifier in (desk.verifier, desk.fresh(it)):
            if accepted:
                assert verifier.verify(text).principal == ALICE
            else:
                with pytest.raises(LoginRequired):
                    verifier.verify(text)

    play(scene)


def test_a_token_is_for_one_audience_and_from_one_authority(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", password=PASSWORD)
        desk = await Desk.at(it)
        text = (await desk.service.by_password(TokenRequest(DIRECT), "alice", PASSWORD)).token.text
        assert desk.fresh(it, DIRECT).verify(text).audience == DIRECT
        with pytest.raises(LoginRequired, match="another service"):
            desk.verifier.verify(text)
        stranger = await strangers_keys(it)
        same_words = TokenIssuer(stranger, issuer=HOME).issue(ALICE, audience=HOME, access=(), now=it.now)
        with pytest.raises(LoginRequired, match="stranger"):
            desk.verifier.verify(same_words.text)

    play(scene)


async def strangers_keys(it: Scene) -> TokenKeys:
    """Another service's keys under the same issuer name."""
    other = await SqlStore.open(it.folder / "stranger.db")
    try:
        return await TokenKeys.open(other, SEALER, issuer=HOME, now=it.now)
    finally:
        await other.close()


def test_the_authority_outlives_a_restart_and_leaves_change_at_half_of_their_life(play: Play) -> None:
    async def scene(it: Scene) -> None:
        first = await TokenKeys.open(it.store, SEALER, issuer=HOME, now=it.now)
        again = await TokenKeys.open(it.store, SEALER, issuer=HOME, now=it.now)
        assert again.certificate == first.certificate
        assert again.leaf(it.now).kid != first.leaf(it.now).kid, "leaf keys never leave a process"
        kid = first.leaf(it.now).kid
        assert first.leaf(it.now + LEAF_LIFE / 2 - timedelta(days=1)).kid == kid
        it.now += LEAF_LIFE / 2
        old = first.leaf(NOW)
        assert first.leaf(it.now).kid != kid
        verifier = TokenVerifier(first.certificate, issuer=HOME, audience=HOME, clock=it.clock)
        for keys in (first, again):
            text = TokenIssuer(keys, issuer=HOME).issue(ALICE, audience=HOME, access=(), now=it.now).text
            assert verifier.verify(text).principal == ALICE
        assert old.certificate.not_valid_after_utc > it.now, "what the old leaf signed stays good for its minutes"
        with pytest.raises(StateError):
            await TokenKeys.open(it.store, Sealer(b"x" * 32), issuer=HOME, now=it.now)
        assert [row.action for row in await it.audit()].count("token-ca-made") == 1

    play(scene)


def test_processes_that_start_at_once_make_one_authority(play: Play) -> None:
    async def scene(it: Scene) -> None:
        made = await asyncio.gather(*(TokenKeys.open(it.store, SEALER, issuer=HOME, now=it.now) for _ in range(6)))
        assert len({keys.certificate.serial_number for keys in made}) == 1

    play(scene)


WRONG: dict[str, tuple[str, str]] = {
    "another password": ("alice", PASSWORD + "!"),
    "no password": ("alice", ""),
    "a disabled principal": ("gone", PASSWORD),
    "nobody of the name": ("nobody", PASSWORD),
    "no name at all": ("", PASSWORD),
    "a name outside the grammar": ("Alice\n", PASSWORD),
    "the hash as a password": ("alice", "$argon2id$v=19$m=64,t=1,p=1$"),
}


@pytest.mark.parametrize("case", WRONG)
def test_every_wrong_login_is_told_in_the_same_words(play: Play, case: str) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", Role.OWNER, password=PASSWORD)
        gone = await it.person("gone", Role.OWNER, password=PASSWORD)
        await it.principals.disable(gone)
        desk = await Desk.at(it)
        with pytest.raises(LoginRequired) as caught:
            await desk.service.by_password(TokenRequest(HOME, offline=True), *WRONG[case])
        assert caught.value.message == "The name or the password is wrong."

    play(scene)


async def refresh(it: Scene) -> tuple[Desk, str]:
    await it.person("alice", Role.ACR_PULL, password=PASSWORD)
    desk = await Desk.at(it)
    granted = await desk.service.by_password(TokenRequest(HOME, offline=True), "alice", PASSWORD)
    assert granted.refresh_token is not None
    return desk, granted.refresh_token


def test_a_refresh_token_gives_what_the_roles_give_now(play: Play) -> None:
    async def scene(it: Scene) -> None:
        desk, token = await refresh(it)
        asked = TokenRequest(HOME, ("repository:app:pull,push",))
        first = await desk.service.by_refresh(asked, token)
        assert desk.verifier.verify(first.token.text).access == (pulls("app"),)
        assert first.refresh_token is None
        await it.principals.assign(ALICE, assigned(Role.ACR_PUSH))
        second = await desk.service.by_refresh(asked, token)
        assert desk.verifier.verify(second.token.text).access == (pulls("app", "pull", "push"),)
        for role in (Role.ACR_PUSH, Role.ACR_PULL):
            await it.principals.revoke(ALICE, assigned(role))
        third = await desk.service.by_refresh(asked, token)
        assert desk.verifier.verify(third.token.text).access == ()

    play(scene)


async def _removed_and_added_again(it: Scene) -> None:
    await it.principals.remove(ALICE)
    await it.person("alice", Role.ACR_PULL, password=PASSWORD)


async def _passed(it: Scene) -> None:
    it.now += REFRESH_LIFE


ENDS: dict[str, Callable[[Scene], Awaitable[object]]] = {
    "a disable": lambda it: it.principals.disable(ALICE),
    "a removal": lambda it: it.principals.remove(ALICE),
    "a removal and a new principal of the name": _removed_and_added_again,
    "a new password": lambda it: it.principals.set_password(ALICE, "another password"),
    "the same password given anew": lambda it: it.principals.set_password(ALICE, PASSWORD),
    "thirty days": _passed,
}


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_a_refresh_token(play: Play, end: str) -> None:
    async def scene(it: Scene) -> None:
        desk, token = await refresh(it)
        await ENDS[end](it)
        with pytest.raises(LoginRequired, match="not valid any more"):
            await desk.service.by_refresh(TokenRequest(HOME), token)

    play(scene)


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_a_refresh_token_ends_what_is_remembered_of_it(play: Play, end: str) -> None:
    async def scene(it: Scene) -> None:
        desk, token = await refresh(it)
        fresh = Freshness(clock=it.clock)
        desk.remember(it, fresh)
        asked = TokenRequest(HOME, ("repository:app:pull",))
        first, second = [await desk.service.by_refresh(asked, token) for _ in range(2)]
        assert first.token.text != second.token.text, "what is remembered is the decision, not the token"
        mark = (await it.store.changed_since("")).mark
        await ENDS[end](it)
        if (await it.store.changed_since(mark)).guns is None:
            fresh.forget_everything()  # as ``follow`` does
        with pytest.raises(LoginRequired, match="not valid any more"):
            await desk.service.by_refresh(asked, token)

    play(scene)


def test_what_is_remembered_is_for_the_very_token_service_and_scopes(play: Play) -> None:
    async def scene(it: Scene) -> None:
        desk, token = await refresh(it)
        desk.remember(it, Freshness(clock=it.clock))
        pull, push = (TokenRequest(HOME, (f"repository:app:{action}",)) for action in ("pull", "push"))
        for _ in range(2):
            assert desk.verifier.verify((await desk.service.by_refresh(pull, token)).token.text).access
        pushing = desk.verifier.verify((await desk.service.by_refresh(push, token)).token.text)
        assert pushing.access == (), "what was remembered for pulling says nothing of pushing"
        for request, secret in ((TokenRequest(DIRECT, pull.scopes), token), (pull, token + "x")):
            with pytest.raises(LoginRequired):
                await desk.service.by_refresh(request, secret)

    play(scene)


def test_a_refresh_token_is_for_its_service_and_a_second_login_leaves_it_alone(play: Play) -> None:
    async def scene(it: Scene) -> None:
        desk, token = await refresh(it)
        with pytest.raises(LoginRequired):
            await desk.service.by_refresh(TokenRequest(DIRECT), token)
        it.now += REFRESH_LIFE - SECOND
        await desk.service.by_password(TokenRequest(HOME, offline=True), "alice", PASSWORD)
        assert (await desk.service.by_refresh(TokenRequest(HOME), token)).token.text

    play(scene)


@pytest.mark.parametrize("token", ["", "tkr_", "x" * 257, "\ud800", "tkr_" + "A" * 43, PASSWORD])
def test_what_is_no_refresh_token_is_refused(play: Play, token: str) -> None:
    async def scene(it: Scene) -> None:
        desk, _ = await refresh(it)
        with pytest.raises(LoginRequired):
            await desk.service.by_refresh(TokenRequest(HOME), token)

    play(scene)


def test_the_database_holds_neither_password_nor_token_nor_key(play: Play, tmp_path: Path) -> None:
    secrets: list[bytes] = []

    async def scene(it: Scene) -> None:
        desk, token = await refresh(it)
        granted = await desk.service.by_refresh(TokenRequest(HOME), token)
        secrets.extend([token.encode(), granted.token.text.encode(), PASSWORD.encode(), b"PRIVATE KEY"])
        secrets.append(hashlib.sha256(token.encode()).digest())

    play(scene)
    connection = sqlite3.connect(tmp_path / "trustkit.db")
    with connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = (tmp_path / "trustkit.db").read_bytes()
    assert [secret in data for secret in secrets] == [False, False, False, False, True], "the hash alone is kept"


@pytest.mark.parametrize(
    "request_",
    [
        TokenRequest("unknown.example.com"),
        TokenRequest(""),
        TokenRequest(HOME, ("repository:a:pull " * 33,)),
        TokenRequest(HOME, ("repository:" + "a" * 1024 + ":pull",)),
    ],
    ids=["unknown service", "no service", "33 scopes", "an endless scope"],
)
def test_requests_that_can_not_be_answered(play: Play, request_: TokenRequest) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", Role.OWNER, password=PASSWORD)
        desk = await Desk.at(it)
        with pytest.raises(Malformed):
            await desk.service.by_password(request_, "alice", PASSWORD)

    play(scene)


def _issued(it: Scene, keys: TokenKeys) -> str:
    access = [Access("repository", "team/app", frozenset({"pull"}))]
    return TokenIssuer(keys, issuer=HOME).issue(ALICE, audience=HOME, access=access, now=it.now).text


def test_no_changed_character_of_a_token_is_accepted(play: Play) -> None:
    """Each character is replaced once, by one that decodes to other bits; nothing but LoginRequired comes out."""

    async def scene(it: Scene) -> None:
        desk = await Desk.at(it)
        text = _issued(it, desk.keys)
        accepted = []
        for at in range(0, len(text), 7):
            for other in ("A", "_", "."):
                changed = text[:at] + other + text[at + 1 :]
                if _means_the_same(changed, text):
                    continue
                try:
                    accepted.append((at, desk.fresh(it).verify(changed)))
                except LoginRequired:
                    continue
        assert accepted == []

    play(scene)


@pytest.mark.parametrize("junk", ["~", "+", "=", "/", "!", " "])
def test_characters_that_decoders_pass_over_are_none_of_a_header(play: Play, junk: str) -> None:
    async def scene(it: Scene) -> None:
        desk = await Desk.at(it)
        header, rest = _issued(it, desk.keys).split(".", 1)
        for at in (0, 4, len(header)):
            with pytest.raises(LoginRequired):
                desk.fresh(it).verify(f"{header[:at]}{junk}{header[at:]}.{rest}")

    play(scene)


def _means_the_same(one: str, other: str) -> bool:
    """Whether two tokens are the same bytes, spelt differently in base64url's unused bits."""

    def parts(text: str) -> list[bytes]:
        return [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in text.split(".")]

    try:
        return parts(one) == parts(other)
    except ValueError:
        return False


@given(text=st.one_of(st.text(max_size=200), st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True)))
def test_garbage_is_refused_and_never_crashes(text: str) -> None:
    verifier = _some_verifier()
    with pytest.raises(LoginRequired):
        verifier.verify(text)


VERSION_3 = bytes.fromhex("a003020102")
"""How the version of an X.509 certificate is written (RFC 5280 4.1.2.1)."""

HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "x5c", "typ", "jwk", "jku", "crit"]),
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(max_size=9), st.lists(st.text(max_size=9), max_size=3)
    ),
)


@given(header=HEADERS, payload=st.dictionaries(st.text(max_size=5), st.integers(), max_size=4))
@settings(max_examples=200)
def test_any_header_of_a_stranger_is_refused(header: dict[str, object], payload: dict[str, int]) -> None:
    words = [json.dumps(value).encode() for value in (header, payload)]
    text = ".".join(base64.urlsafe_b64encode(word).rstrip(b"=").decode() for word in (*words, b"s" * 64))
    with pytest.raises(LoginRequired):
        _some_verifier().verify(text)


def test_any_certificate_of_a_stranger_is_refused_and_never_crashes() -> None:
    """Whoever has no token at all sends a chain that ends at our CA: every byte of the leaf is flipped once."""
    ca, _ = tokenkeys._read(tokenkeys._make_ca(SEALER, HOME, NOW)[0])
    verifier = TokenVerifier(ca, issuer=HOME, audience=HOME, clock=lambda: NOW)
    der = ca.public_bytes(Encoding.DER)
    assert der.count(VERSION_3) == 1
    sent = [der.replace(VERSION_3, VERSION_3[:-1] + bytes([6])), b"", b"\x30\x00"]
    sent += [der[:at] + bytes([der[at] ^ 1]) + der[at + 1 :] for at in range(len(der))]
    for leaf in sent:
        chain = [base64.b64encode(each).decode() for each in (leaf, der)]
        words = json.dumps({"alg": "ES256", "typ": "JWT", "kid": "x", "x5c": chain}).encode(), b"{}", b"s" * 64
        text = ".".join(base64.urlsafe_b64encode(word).rstrip(b"=").decode() for word in words)
        with pytest.raises(LoginRequired):
            verifier.verify(text)


@functools.cache
def _some_verifier() -> TokenVerifier:
    certificate, _ = tokenkeys._read(tokenkeys._make_ca(SEALER, HOME, NOW)[0])
    return TokenVerifier(certificate, issuer=HOME, audience=HOME, clock=lambda: NOW)


@given(st.lists(st.text(alphabet="repository:/abc,pull*. ", max_size=60), max_size=8))
def test_scopes_are_read_or_left_out(texts: list[str]) -> None:
    try:
        scopes = parse_scopes(texts)
    except Malformed:
        assert sum(len(text.split()) for text in texts) > 32
        return
    for scope in scopes:
        assert scope.type
        assert ":" not in scope.type
        assert scope.name
        assert "" not in scope.actions


@given(st.text(alphabet="abc./:A%-_", max_size=30))
def test_a_scope_names_a_repository_of_ours_or_nothing(name: str) -> None:
    found = repository_of(name, HOSTS)
    if found is not None:
        assert name in (str(found), *(f"{host}/{found}" for host in HOSTS))
        assert Repository.parse(str(found)) == found


def test_claims_on_a_name_are_not_claims_on_another() -> None:
    claims = Claims(ALICE, HOME, (pulls("team/app"), Access("plugin", "x", frozenset({"pull"}))), NOW, NOW, "j")
    assert claims.actions(Repository("team/app"), HOSTS) == {"pull"}
    for path in ("team/app2", "team", "x"):
        assert claims.actions(Repository(path), HOSTS) == frozenset()


def test_a_token_made_here_is_known_as_what_it_would_be_verified_as(play: Play) -> None:
    """Without being verified once more: no longer than it lasts, for nobody else, and not a character off."""

    async def scene(it: Scene) -> None:
        keys = await TokenKeys.open(it.store, SEALER, issuer=HOME, now=it.now)
        desk = Desk(it, keys)
        here, there = desk.fresh(it), desk.fresh(it, DIRECT)
        it.now += timedelta(milliseconds=250)
        for told, audience in ((here, HOME), (there, HOME), (here, DIRECT)):
            issuer = TokenIssuer(keys, issuer=HOME, told=told.issued)
            wanted = (pulls("team/app", "pull", "push"), Access("registry", "catalog", frozenset({"*"})))
            text = issuer.issue(ALICE, audience=audience, access=iter(wanted), now=it.now).text
            if told is here and audience == HOME:
                assert here.size == 1 + len(wanted)
                assert here.verify(text) == desk.fresh(it).verify(text)
                assert here.size == 1 + len(wanted), "it was known"
                with pytest.raises(LoginRequired):
                    here.verify(f"{text[:-1]}{'A' if text[-1] != 'A' else 'B'}")
                it.now += LIFE + LEEWAY
                with pytest.raises(LoginRequired, match="expired"):
                    here.verify(text)
                it.now -= LIFE + LEEWAY
            else:
                known = told.size
                with pytest.raises(LoginRequired, match="another service"):
                    told.verify(text)
                assert told.size == known

    play(scene)
