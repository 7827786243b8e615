"""A run refreshes a collection once, judges it each time, and remembers nothing that failed."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from tests.remote.test_updater import serving
from tests.simulator import LIFE, NOW, Publisher, make_signer, manifest
from trustkit.client.once import SECONDS, OnceSource
from trustkit.client.trust import Trust
from trustkit.client.verify import Verify
from trustkit.core.formats.tuf1 import read
from trustkit.core.names import ImageRef, SignerName, Tag
from trustkit.core.ports.remote import Pin
from trustkit.core.signers import add_signer
from trustkit.errors import Expired, TagMoved, Unreachable, Unsigned
from trustkit.home import Home
from trustkit.remote.source import UpdaterSource


class Run:
    """One run of a command on a collection that is served from memory; counts what it fetches."""

    def __init__(self, folder: Path, publisher: Publisher) -> None:
        self.publisher, self.gun = publisher, publisher.gun
        self.now, self.seconds = NOW + timedelta(minutes=1), 0.0
        self.fetched: Counter[str] = Counter()
        self.down = False
        home = Home(folder)
        home.pins.add(Pin(str(self.gun), key_ids=(publisher.root.public_key.keyid,), threshold=1))
        served = UpdaterSource(
            fetcher=lambda _: self._fetch, folder=home.metadata.locked, seen=home.metadata.seen, sleep=lambda _: None
        )
        source = OnceSource(served, reader=read, clock=lambda: self.seconds)
        self.trust = Trust(home.pins, source)
        self.verify = Verify(self.trust, clock=lambda: self.now)

    def _fetch(self, name: str, max_length: int) -> bytes:
        self.fetched[name] += 1
        if self.down:
            raise Unreachable("down")
        return serving(self.publisher)(name, max_length)

    def __call__(self, tag: str) -> str:
        return str(self.verify(ImageRef(self.gun, Tag(tag))).digest)

    @property
    def refreshes(self) -> int:
        return self.fetched["timestamp.json"]


@pytest.fixture
def publisher() -> Publisher:
    made = Publisher()
    made.accept(made.first_upload("v1", "v2", "nightly-1"))
    return made


@pytest.fixture
def run(tmp_path: Path, publisher: Publisher) -> Run:
    return Run(tmp_path, publisher)


def test_many_tags_are_one_refresh(run: Run):
    assert {tag: run(tag) for tag in ("v1", "v2", "v1")} == {tag: str(manifest(tag).digest) for tag in ("v1", "v2")}
    with pytest.raises(Unsigned):
        run("v3")
    with pytest.raises(TagMoved):
        run.verify(ImageRef(run.gun, Tag("v1"), manifest("v2").digest))
    assert run.trust.current(run.gun, run.now).view.targets.keys() >= {Tag("v1"), Tag("v2")}
    assert run.refreshes == 2, "all tags are another question than some of them"
    run("nightly-1")
    assert run.refreshes == 2


def test_threads_that_ask_at_once_wait_for_one_refresh(run: Run):
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(run, ["v1", "v2"] * 16))) == 32
    assert run.refreshes == 1


def test_who_else_answers_for_a_tag_is_asked_for(run: Run, publisher: Publisher):
    publisher.accept(
        publisher.change(
            lambda draft: add_signer(draft, SignerName("ci"), make_signer().public_key, paths=["nightly-*"])
        )
    )
    assert run("v1") == run("v1") == str(manifest("v1").digest)
    assert (run.refreshes, run.fetched["1.ci.json"]) == (1, 0)
    with pytest.raises(Unsigned):
        run("nightly-2")
    assert (run.refreshes, run.fetched["1.ci.json"]) == (2, 1)


def test_each_question_is_judged_at_its_own_moment(run: Run):
    run("v1")
    run.now = NOW + LIFE.default["timestamp"]
    with pytest.raises(Expired):
        run("v1")
    assert run.refreshes == 1


def test_what_was_asked_for_long_ago_is_asked_for_again(run: Run, publisher: Publisher):
    run("v1")
    publisher.accept(publisher.sign_upload("v1", manifest("new")))
    run.seconds = SECONDS - 0.1
    assert run("v1") == str(manifest("v1").digest)
    run.seconds = SECONDS
    assert run("v1") == str(manifest("new").digest)


def test_what_failed_is_not_remembered(run: Run):
    run.down = True
    for _ in range(2):
        with pytest.raises(Unreachable):
            run("v1")
    run.down = False
    assert run("v1") == str(manifest("v1").digest)


def test_another_run_asks_anew(run: Run, publisher: Publisher, tmp_path: Path):
    run("v1")
    publisher.accept(publisher.sign_upload("v1", manifest("new")))
    other = Run(tmp_path, publisher)
    assert (other("v1"), other.refreshes) == (str(manifest("new").digest), 1)


def test_another_pin_is_another_question(run: Run):
    """A state that was verified from one pin says nothing under another."""
    run("v1")
    pin = Pin(str(run.gun), root=run.publisher.files["root"])
    assert run.trust.under(pin, run.gun, run.now).pin == pin
    assert run.refreshes == 2
