"""Guessing passwords is slow, and locks nobody else out (TRUST 8.3)."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.authority.conftest import CHEAP, NOW, Play, Scene
from trustkit.authority.login import TokenRequest, TokenService
from trustkit.authority.passwords import AT_ONCE, WAITING, Passwords
from trustkit.authority.ratelimit import KEPT_BUCKETS, ONE_ADDRESS, ONE_PRINCIPAL, LoginLimiter, Rate
from trustkit.authority.sealing import Sealer
from trustkit.authority.tokenkeys import TokenKeys
from trustkit.authority.tokens import TokenIssuer
from trustkit.core.access import Role
from trustkit.core.names import Host
from trustkit.errors import LoginRequired, RateLimited

HOME = "registry.example.com"
PASSWORD = "correct horse battery"
HERE, THERE = "192.0.2.1", "198.51.100.9"


async def login(it: Scene) -> TokenService:
    keys = await TokenKeys.open(it.store, Sealer(b"k" * 32), issuer=HOME, now=it.now)
    return TokenService(
        it.store,
        TokenIssuer(keys, issuer=HOME),
        it.passwords,
        services={HOME: False},
        hosts=(Host.parse(HOME),),
        clock=it.clock,
    )


async def outcome(service: TokenService, name: str, password: str, source: str = HERE) -> str:
    """``in``, ``wrong``, or ``wait`` where it says for how long."""
    try:
        await service.by_password(TokenRequest(HOME, source=source), name, password)
    except LoginRequired:
        return "wrong"
    except RateLimited as error:
        return "wait" if int(str(error.context["retry_after"])) >= 1 else "limited without an end"
    return "in"


def test_twenty_wrong_passwords_and_then_one_has_to_wait_even_with_the_right_one(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", Role.ACR_PULL, password=PASSWORD)
        service = await login(it)
        tried = [await outcome(service, "alice", f"guess {n}") for n in range(ONE_PRINCIPAL.burst + 2)]
        assert tried == ["wrong"] * ONE_PRINCIPAL.burst + ["wait"] * 2
        assert await outcome(service, "alice", PASSWORD) == "wait", "or a guess would be told from a wrong one"
        assert await outcome(service, "alice", PASSWORD, THERE) == "in", "nobody is locked out from elsewhere"
        it.now += timedelta(seconds=ONE_PRINCIPAL.seconds)
        assert await outcome(service, "alice", PASSWORD) == "in"
        assert [await outcome(service, "alice", PASSWORD) for _ in range(3)] == ["in"] * 3, "a success costs nothing"
        assert await outcome(service, "alice", "guess") == "wrong"
        assert await outcome(service, "alice", "guess") == "wait"

    play(scene)


def test_a_clock_that_goes_back_refills_nothing(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", password=PASSWORD)
        service = await login(it)
        for _ in range(ONE_PRINCIPAL.burst):
            assert await outcome(service, "alice", "guess") == "wrong"
        it.now -= timedelta(days=1)
        assert await outcome(service, "alice", "guess") == "wait"

    play(scene)


def test_successful_logins_are_never_limited(play: Play) -> None:
    async def scene(it: Scene) -> None:
        await it.person("alice", password=PASSWORD)
        service = await login(it)
        assert {await outcome(service, "alice", PASSWORD) for _ in range(ONE_PRINCIPAL.burst * 3)} == {"in"}

    play(scene)


def test_many_names_from_one_address_are_no_way_round() -> None:
    limiter = LoginLimiter()
    for number in range(ONE_ADDRESS.burst):
        limiter.take(f"name{number}", HERE, NOW)
    with pytest.raises(RateLimited):
        limiter.take("one-more", HERE, NOW)
    limiter.take("one-more", THERE, NOW)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("unix", "unix", True),
        ("", "unix", False),
    ],
)
def test_whoever_has_a_network_of_ipv6_has_no_more_tries_than_others(one: str, other: str, *, same: bool) -> None:
    """2**64 addresses are one subscriber's: each with tries of its own would be no limit."""
    limiter = LoginLimiter()
    for _ in range(ONE_PRINCIPAL.burst):
        limiter.take("alice", one, NOW)
    if same:
        with pytest.raises(RateLimited):
            limiter.take("alice", other, NOW)
    else:
        limiter.take("alice", other, NOW)


@pytest.mark.parametrize("name", ["nobody", "Not A Name", "x" * 500, ""])
def test_names_that_do_not_exist_are_limited_like_others(play: Play, name: str) -> None:
    async def scene(it: Scene) -> None:
        service = await login(it)
        tried = [await outcome(service, name, "guess") for _ in range(ONE_PRINCIPAL.burst + 1)]
        assert tried == ["wrong"] * ONE_PRINCIPAL.burst + ["wait"]

    play(scene)


def test_the_limiters_memory_is_bounded() -> None:
    limiter = LoginLimiter()
    for number in range(KEPT_BUCKETS + 500):
        limiter.take("alice", f"2001:db8:{number:x}::1", NOW)
    assert len(limiter._buckets) <= KEPT_BUCKETS


@given(
    waits=st.lists(st.floats(min_value=0, max_value=30), min_size=1, max_size=80),
    burst=st.integers(min_value=1, max_value=10),
    seconds=st.floats(min_value=0.5, max_value=20),
)
def test_no_timing_gives_more_guesses_than_the_rate(waits: list[float], burst: int, seconds: float) -> None:
    limiter = LoginLimiter(Rate(burst, seconds), Rate(10_000, 0.001))
    now, guesses = NOW, 0
    for wait in waits:
        now += timedelta(seconds=wait)
        try:
            limiter.take("alice", HERE, now)
            guesses += 1
        except RateLimited as error:
            later = now + timedelta(seconds=int(str(error.context["retry_after"])))
            again = LoginLimiter(Rate(burst, seconds), Rate(10_000, 0.001))
            again._buckets = {key: type(b)(b.left, b.at) for key, b in limiter._buckets.items()}
            again.take("alice", HERE, later)
    passed = (now - NOW).total_seconds()
    assert guesses <= burst + passed / seconds + 1e-6


class Counting(argon2.PasswordHasher):
    """The real hasher, which counts how many of its checks run at once."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.running = self.most = 0
        self.lock = threading.Lock()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002 - argon2's signature
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            return super().verify(hash, password)
        finally:
            with self.lock:
                self.running -= 1


def test_checks_are_bounded_at_once_and_in_waiting() -> None:
    async def scene() -> None:
        hasher = Counting()
        passwords = Passwords(hasher)
        stored = await passwords.hash(PASSWORD)
        checks = (passwords.check(stored, PASSWORD) for _ in range(WAITING + 6))
        done = await asyncio.gather(*checks, return_exceptions=True)
        refused = [result for result in done if isinstance(result, RateLimited)]
        assert (done.count(True), len(refused)) == (WAITING, 6)
        assert 1 <= hasher.most <= AT_ONCE
        assert await passwords.check(stored, PASSWORD), "and then there is room again"

    asyncio.run(scene())


def test_a_login_that_was_not_checked_costs_no_try(play: Play) -> None:
    """Whoever keeps the service busy would lock everybody out who logs in meanwhile."""

    async def scene(it: Scene) -> None:
        await it.person("alice", Role.ACR_PULL, password=PASSWORD)
        service = await login(it)
        async with it.passwords._turn:
            busy = [asyncio.ensure_future(it.passwords.check(None, "guess")) for _ in range(WAITING)]
            await asyncio.sleep(0)
            assert {await outcome(service, "alice", PASSWORD) for _ in range(ONE_PRINCIPAL.burst + 1)} == {"wait"}
        await asyncio.gather(*busy)
        assert await outcome(service, "alice", PASSWORD) == "in"

    play(scene)


def test_a_cancelled_login_gives_its_place_back() -> None:
    async def scene() -> None:
        passwords = Passwords(CHEAP)
        stored = await passwords.hash(PASSWORD)
        tasks = [asyncio.ensure_future(passwords.check(stored, PASSWORD)) for _ in range(WAITING)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert passwords._pending == 0
        assert await passwords.check(stored, PASSWORD)

    asyncio.run(scene())
