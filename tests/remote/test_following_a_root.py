"""A pin that moves to a new root: what was verified under the old one stays the least that counts (TRUST 5.5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Root

from tests.remote.test_updater import serving
from tests.simulator import NOW, Publisher, make_signer, manifest
from trustkit.client.trust import Current, Trust
from trustkit.core.ports.remote import Pin
from trustkit.errors import NotFound, RolledBack, SignatureInvalid
from trustkit.home.home import Home
from trustkit.remote.source import UpdaterSource

LATER = NOW + timedelta(minutes=1)


class Consumer:
    """A home that trusts a publisher, under a pin that its root keys meet."""

    def __init__(self, folder: Path, publisher: Publisher, pin: Pin) -> None:
        self.publisher, self.gun = publisher, publisher.gun
        self.fetch: Callable[[str, int], bytes] = serving(publisher)
        self.home = Home(folder)
        self.home.pins.add(pin)
        self.trust = Trust(
            self.home.pins,
            UpdaterSource(
                fetcher=lambda _: self.fetch,
                folder=self.home.metadata.locked,
                seen=self.home.metadata.seen,
                sleep=lambda _: None,
            ),
        )

    def current(self) -> Current:
        return self.trust.current(self.gun, LATER)


def rotate(publisher: Publisher) -> tuple[str, str]:
    """Puts another root key in the place of the one there is; the ids of both."""
    old, new = publisher.root, make_signer()

    def change(root: Root) -> None:
        root.revoke_key(old.public_key.keyid, "root")
        root.add_key(new.public_key, "root")

    publisher.accept(publisher.change_root(change, old, new))
    publisher.root = new
    return old.public_key.keyid, new.public_key.keyid


@pytest.fixture(params=["by its key", "by its file"])
def consumer(request: pytest.FixtureRequest, tmp_path: Path) -> Consumer:
    publisher = Publisher()
    publisher.accept(publisher.first_upload("v1"))
    pin = Pin(str(publisher.gun), key_ids=(publisher.root.public_key.keyid,), threshold=1)
    if request.param == "by its file":
        pin = Pin(str(publisher.gun), root=publisher.files["root"])
    return Consumer(tmp_path, publisher, pin)


def test_the_pin_moves_and_verifies_without_what_was_there_before(consumer: Consumer) -> None:
    consumer.current()
    gone, comes = rotate(consumer.publisher)
    served = consumer.current()
    assert consumer.trust.follow(consumer.gun, served, {gone}, [comes])
    after = consumer.current()
    assert (after.pin != served.pin, after.view, after.files) == (True, served.view, served.files)
    assert not consumer.trust.follow(consumer.gun, after, {gone}, [comes])


def test_a_state_from_before_is_refused_under_the_new_pin(consumer: Consumer) -> None:
    """The online keys stay, so everything that they signed before would verify under the new root."""
    before = dict(consumer.publisher.files)
    consumer.publisher.accept(consumer.publisher.sign_upload("v2", manifest("two")))
    gone, comes = rotate(consumer.publisher)
    assert consumer.trust.follow(consumer.gun, consumer.current(), {gone}, [comes])
    honest = dict(consumer.publisher.files)
    consumer.publisher.files |= {role: data for role, data in before.items() if role != "root"}
    with pytest.raises(RolledBack):
        consumer.current()
    consumer.publisher.files = honest
    assert {str(tag) for tag in consumer.current().view.targets} == {"v1", "v2"}


def test_the_file_of_a_folder_is_verified_again_whoever_put_it_there(consumer: Consumer) -> None:
    """What lies in the cache is no more than a floor: a stranger's files in it are passed over."""
    gone, comes = rotate(consumer.publisher)
    served = consumer.current()
    stranger = Publisher(consumer.gun)
    stranger.accept(stranger.first_upload("evil"))
    forged = Current(served.pin, stranger.files | {"root": served.files["root"]}, served.view)
    assert consumer.trust.follow(consumer.gun, forged, {gone}, [comes])
    assert {str(tag) for tag in consumer.current().view.targets} == {"v1"}


def test_what_was_seen_under_a_pin_before_stays(consumer: Consumer) -> None:
    gone, comes = rotate(consumer.publisher)
    served = consumer.current()
    new = Pin(str(consumer.gun), key_ids=(comes,), threshold=1)
    if served.pin.root is not None:
        new = Pin(str(consumer.gun), root=served.files["root"])
    consumer.publisher.accept(consumer.publisher.sign_upload("v2", manifest("two")))
    consumer.trust.under(new, consumer.gun, LATER)
    assert consumer.trust.follow(consumer.gun, served, {gone}, [comes])
    consumer.publisher.files |= {role: data for role, data in served.files.items() if role != "root"}
    with pytest.raises(RolledBack):
        consumer.current()


def test_a_root_of_other_keys_moves_no_pin(consumer: Consumer) -> None:
    served = consumer.current()
    stranger = make_signer().public_key.keyid
    assert not consumer.trust.follow(consumer.gun, served, {"0" * 64}, [stranger])
    assert consumer.home.pins.find(consumer.gun) == served.pin


def test_nothing_is_carried_where_the_pin_cannot_be_met(consumer: Consumer) -> None:
    served = consumer.current()
    if served.pin.root is None:
        assert not consumer.trust.follow(consumer.gun, served, set(served.pin.key_ids), ["0" * 64])
    assert consumer.current().pin == served.pin


class Meanwhile:
    """A fetch during which something happens: when the walk has found no newer root, and the timestamp comes next."""

    def __init__(self, publisher: Publisher, happens: Callable[[], None]) -> None:
        self.fetch, self.happens, self.timestamps = serving(publisher), happens, 0

    def __call__(self, name: str, max_length: int) -> bytes:
        self.timestamps += name == "timestamp.json"
        try:
            return self.fetch(name, max_length)
        except NotFound:
            happens, self.happens = self.happens, lambda: None
            happens()
            raise


def test_online_keys_that_change_between_root_and_timestamp_are_walked_to(consumer: Consumer) -> None:
    """A rotation is one publish; who has the root from before it and the timestamp from after it isn't attacked."""
    publisher, old = consumer.publisher, consumer.publisher.timestamp

    def rotates() -> None:
        publisher.timestamp = make_signer()

        def change(root: Root) -> None:
            root.revoke_key(old.public_key.keyid, "timestamp")
            root.add_key(publisher.timestamp.public_key, "timestamp")

        publisher.accept(publisher.change_root(change))

    fetch = consumer.fetch = Meanwhile(publisher, rotates)
    assert {str(tag) for tag in consumer.current().view.targets} == {"v1"}
    assert fetch.timestamps == 2


def test_a_timestamp_of_a_stranger_is_asked_for_twice_and_refused(consumer: Consumer) -> None:
    def signs() -> None:
        consumer.publisher.timestamp = make_signer()
        consumer.publisher.install({})

    fetch = consumer.fetch = Meanwhile(consumer.publisher, signs)
    with pytest.raises(SignatureInvalid):
        consumer.current()
    assert fetch.timestamps == 2
