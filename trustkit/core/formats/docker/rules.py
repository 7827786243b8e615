"""The rules of format ``docker``, as ``core.rules`` has them for each format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from tuf.api.metadata import Root

from trustkit.core.formats.docker.evaluate import attributions, evaluate, evaluate_but_expiry
from trustkit.core.formats.docker.files import read, role_kind
from trustkit.core.formats.docker.keys import key_of
from trustkit.core.formats.docker.pins import meets, signing_keys
from trustkit.core.formats.docker.roots import check_root_at
from trustkit.core.names import Gun, Tag
from trustkit.core.ports.remote import Pin
from trustkit.core.readings import Reader
from trustkit.core.view import SignedView


class DockerRules:
    """Implements ``core.rules.Rules``."""

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = read if reader is None else reader

    def evaluate(
        self, files: Mapping[str, bytes], gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None
    ) -> SignedView:
        """As ``Rules.evaluate``; ``targets/releases`` and ``targets`` answer for every tag."""
        return evaluate(files, gun, now, tags=tags, reader=self._reader)

    def evaluate_but_expiry(
        self, files: Mapping[str, bytes], gun: Gun, now: datetime, *, fresh: Collection[str]
    ) -> SignedView:
        """As ``Rules.evaluate_but_expiry``."""
        return evaluate_but_expiry(files, gun, now, fresh=fresh, reader=self._reader)

    def attributions(
        self, files: Mapping[str, bytes], view: SignedView, now: datetime
    ) -> Mapping[Tag, frozenset[str]]:
        """As ``Rules.attributions``; names are without ``targets/``."""
        return attributions(files, view, now, reader=self._reader)

    def root_key_ids(self, data: bytes, gun: Gun) -> tuple[tuple[str, ...], int]:
        """As ``Rules.root_key_ids``: the ids of the certificates, as ``docker trust inspect`` shows them."""
        signing_keys(data, gun)
        role = self._reader(data, Root).signed.roles["root"]
        return tuple(role.keyids), role.threshold

    def meets(self, pin: Pin, gun: Gun, data: bytes, now: datetime) -> bool:
        """As ``Rules.meets``."""
        return meets(pin, gun, data, now=now)

    def expires(self, role: str, data: bytes) -> datetime:
        """As ``Rules.expires``."""
        expires: datetime = self._reader(data, role_kind(role), f"{role}.json").signed.expires
        return expires

    def certified(self, files: Mapping[str, bytes]) -> datetime | None:
        """As ``Rules.certified``."""
        return check_root_at(self._reader(files["root"], Root), files["root"], None)

    def bare_ids(self, files: Mapping[str, bytes]) -> Mapping[str, str]:
        """As ``Rules.bare_ids``: those of the keys that stand in certificates."""
        keys = map(key_of, self._reader(files["root"], Root).signed.keys.values())
        return {key.keyid: key.canonical_id for key in keys if key.is_certificate}
