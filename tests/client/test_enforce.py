"""The one question of every door, on a collection that is served from memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.remote.test_updater import serving
from tests.simulator import NOW, Publisher, manifest
from trustkit.client.enforce import Enforce
from trustkit.client.staleness import StaleSource
from trustkit.client.trust import Trust
from trustkit.client.verify import Verify
from trustkit.core.names import Digest, ImageRef
from trustkit.core.policyfile import parse
from trustkit.core.ports.remote import Pin
from trustkit.errors import (
    Garbage,
    LoginRequired,
    NoCollection,
    PolicyDenies,
    RoleMissing,
    ServerFailed,
    TimedOut,
    TrustkitError,
    Unreachable,
)
from trustkit.home import Home
from trustkit.home.policy import PolicyPins
from trustkit.remote.source import UpdaterSource

HOUR = timedelta(hours=1)


class Consumer:
    """A machine with a policy, whose clock and network a test sets."""

    def __init__(self, folder: Path, publisher: Publisher, rule: str = "") -> None:
        self.now: datetime = NOW + timedelta(minutes=1)
        self.gun, self.warned = publisher.gun, list[str]()
        self.fetch: Callable[[str, int], bytes] = serving(publisher)
        home = Home(folder)
        home.pins.add(Pin(str(self.gun), key_ids=(publisher.root.public_key.keyid,), threshold=1))
        source = UpdaterSource(
            fetcher=lambda _: self.fetch,
            folder=home.metadata.locked,
            seen=home.metadata.seen,
            sleep=lambda _: None,
        )
        text = f'version = 1\n[[rule]]\npattern = "{self.gun}"\n{rule}'
        policy = parse(text.encode(), where="policy.toml", root_file=lambda _: b"")
        stale = StaleSource(
            source, source, allowed=lambda gun: policy.rule(gun).max_staleness, warn=self.warned.append
        )
        trust = Trust(PolicyPins(home.pins, policy), stale)
        self.enforce = Enforce(Verify(trust, clock=lambda: self.now), policy)

    def fails(self, error: TrustkitError) -> None:
        def fetch(name: str, max_length: int) -> bytes:
            raise error

        self.fetch = fetch

    def slug(self, tag: str = "v1") -> str:
        verdict = self.enforce(ImageRef.parse(f"{self.gun}:{tag}"))
        return "" if verdict.error is None else verdict.error.slug


@pytest.fixture
def publisher() -> Publisher:
    made = Publisher()
    made.accept(made.first_upload("v1"))
    return made


NOBODY = [Unreachable("no route"), TimedOut("too slow"), ServerFailed("it failed", status=503)]
ANSWERS = [
    LoginRequired("who?"),
    RoleMissing("not you"),
    NoCollection("nothing"),
    Garbage("<html>"),
    ServerFailed("later (429)"),
    ServerFailed("moved", status=302),
]


@pytest.mark.parametrize("error", NOBODY, ids=lambda error: error.message)
def test_what_was_verified_counts_for_as_long_as_the_policy_says(
    tmp_path: Path, publisher: Publisher, error: TrustkitError
) -> None:
    """The age counts from when the service signed it, whenever this machine saw it."""
    consumer = Consumer(tmp_path, publisher, 'max_staleness = "12h"\n')
    consumer.now = NOW + 5 * HOUR
    assert consumer.slug() == ""
    consumer.fails(error)
    consumer.now = NOW + 12 * HOUR
    assert consumer.slug() == ""
    assert len(consumer.warned) == 1
    assert "12 hours ago" in consumer.warned[0]
    consumer.now += timedelta(seconds=1)
    assert consumer.slug() == error.slug


@pytest.mark.parametrize("error", ANSWERS, ids=lambda error: error.message)
def test_an_answer_is_no_silence(tmp_path: Path, publisher: Publisher, error: TrustkitError) -> None:
    consumer = Consumer(tmp_path, publisher, 'max_staleness = "12h"\n')
    assert consumer.slug() == ""
    consumer.fails(error)
    assert consumer.slug() in {error.slug, "collection-gone"}
    assert consumer.warned == []


def test_without_a_word_of_the_policy_silence_is_no_verdict(tmp_path: Path, publisher: Publisher) -> None:
    consumer = Consumer(tmp_path, publisher)
    assert consumer.slug() == ""
    consumer.fails(Unreachable("no route"))
    assert consumer.slug() == "unreachable"


def test_a_cold_cache_has_nothing_that_could_count(tmp_path: Path, publisher: Publisher) -> None:
    consumer = Consumer(tmp_path, publisher, 'max_staleness = "12h"\n')
    consumer.fails(Unreachable("no route"))
    assert consumer.slug() == "unreachable"


def test_no_expiry_is_waived_by_a_long_patience(tmp_path: Path, publisher: Publisher) -> None:
    """The timestamp lives 7 days; 30 days of patience don't make it live longer."""
    consumer = Consumer(tmp_path, publisher, 'max_staleness = "30d"\n')
    assert consumer.slug() == ""
    consumer.fails(Unreachable("no route"))
    consumer.now = NOW + timedelta(days=6)
    assert consumer.slug() == ""
    consumer.now = NOW + timedelta(days=8)
    assert consumer.slug() == "unreachable"


def test_a_tag_that_was_not_there_is_not_signed_offline_either(tmp_path: Path, publisher: Publisher) -> None:
    consumer = Consumer(tmp_path, publisher, 'max_staleness = "12h"\n')
    assert consumer.slug() == ""
    consumer.fails(Unreachable("no route"))
    assert consumer.slug("v2") == "unsigned"


def test_what_a_tag_was_counts_by_digest_until_its_date(tmp_path: Path, publisher: Publisher) -> None:
    """A pod that was admitted before a release has to be able to start again (TRUST 4.4)."""
    consumer = Consumer(tmp_path, publisher)
    old = publisher_digest(consumer, "v1")
    publisher.accept(publisher.sign_upload("v1", manifest("two")))
    ref = ImageRef(consumer.gun, None, old)
    verdict = consumer.enforce(ref)
    assert (verdict.allowed, verdict.image) == (True, ref)
    assert consumer.enforce(ImageRef(consumer.gun, ImageRef.parse("h.example/a:v1").tag, old)).error is not None
    with pytest.raises(TrustkitError):
        Consumer(tmp_path, publisher).enforce.trusted(ImageRef(consumer.gun, None, Digest.of(b"other")))


def publisher_digest(consumer: Consumer, tag: str) -> Digest:
    verdict = consumer.enforce(ImageRef.parse(f"{consumer.gun}:{tag}"))
    assert verdict.digest is not None
    return verdict.digest


@pytest.mark.parametrize(("more", "slug"), [(0, ""), (1, "digest-mismatch"), (-1, "digest-mismatch")])
def test_a_length_that_is_said_has_to_be_the_signed_one(
    tmp_path: Path, publisher: Publisher, more: int, slug: str
) -> None:
    consumer = Consumer(tmp_path, publisher)
    verdict = consumer.enforce(ImageRef.parse(f"{consumer.gun}:v1"), length=len(manifest("v1").data) + more)
    assert ("" if verdict.error is None else verdict.error.slug) == slug


@pytest.mark.parametrize(
    ("rule", "ref", "allowed", "detected"),
    [
        ('mode = "digest-only"\n', ":v1", False, False),
        ('mode = "digest-only"\n', f"@sha256:{'a' * 64}", True, False),
        ('mode = "digest-only"\n', f":v1@sha256:{'a' * 64}", True, False),
        ('mode = "digest-only"\ndetect = true\n', ":v1", True, True),
        ('mode = "unsafe_allow_unsigned"\n', ":nothing", True, False),
        ('digests = "refuse"\n', f"@{Digest.of(manifest('v1').data)}", False, False),
        ('digests = "refuse"\n', f":v1@{Digest.of(manifest('v1').data)}", True, False),
        ("", f"@{Digest.of(manifest('v1').data)}", True, False),
        ("", ":nothing", False, False),
        ("detect = true\n", ":nothing", True, True),
    ],
)
def test_what_each_mode_takes(
    tmp_path: Path, publisher: Publisher, rule: str, ref: str, allowed: bool, detected: bool
) -> None:
    consumer = Consumer(tmp_path, publisher, rule)
    verdict = consumer.enforce(ImageRef.parse(f"{consumer.gun}{ref}"))
    assert (verdict.allowed, verdict.detected) == (allowed, detected)
    assert (verdict.image is not None) is allowed
    assert str(consumer.gun) in verdict.reason
    assert "\n" not in verdict.reason
    if "mode" in rule or detected or not allowed:
        with pytest.raises(TrustkitError):
            consumer.enforce.trusted(ImageRef.parse(f"{consumer.gun}{ref}"))


def test_what_no_rule_is_about_is_denied(tmp_path: Path, publisher: Publisher) -> None:
    verdict = Consumer(tmp_path, publisher).enforce(ImageRef.parse("elsewhere.example/app:v1"))
    assert (verdict.allowed, verdict.rule) == (False, "none")
    assert isinstance(verdict.error, PolicyDenies)
