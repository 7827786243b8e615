"""Whom to believe for a GUN, and what its collection says now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from trustkit.core.evaluate import evaluate
from trustkit.core.names import Gun, Tag
from trustkit.core.pinning import meets, root_key_ids
from trustkit.core.ports.remote import MetadataSource, Pin, PinStore
from trustkit.core.view import SignedView
from trustkit.errors import NoCollection, NoPin, Rejected, WrongRoot

Ask = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Current:
    """A collection as verified now: the pin it was verified from, its files, and what they say."""

    pin: Pin
    files: Mapping[str, bytes]
    view: SignedView


class Trust:
    """Pins and verified state (TRUST 5, 6).

    Args:
        ask: asks a person on a terminal a yes-or-no question; None where there is nobody.
        warn: says one line to stderr.
        unsafe_trust_on_first_use: accept any root where there is no pin; warns at every use.
        own_root_keys: the ids of root keys whose private half is here; a root that they signed is one's own.
    """

    def __init__(
        self,
        pins: PinStore,
        source: MetadataSource,
        *,
        ask: Ask | None = None,
        warn: Callable[[str], None] = lambda _: None,
        unsafe_trust_on_first_use: bool = False,
        own_root_keys: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._pins = pins
        self._source = source
        self._ask = ask
        self._warn = warn
        self._first_use = unsafe_trust_on_first_use
        self._own = own_root_keys

    def current(self, gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None) -> Current:
        """The collection's verified state at ``now``.

        Args:
            tags: the roles that answer for these tags are enough; the view then holds no other role's tags.

        Raises:
            NoPin: nothing says which root to accept; raised before the network where there is nobody to ask.
            NotTrusted and its leaves, NotAllowed.
        """
        return self.under(self.pin(gun), gun, now, tags=tags)

    def exists(self, gun: Gun) -> bool:
        """Whether the service has a collection for a GUN, whoever's it is."""
        try:
            self._source.first_root(gun)
        except NoCollection:
            return False
        return True

    def under(self, pin: Pin, gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None) -> Current:
        """As ``current``, under this pin."""
        files = self._source.refresh(gun, pin, now, tags=tags).files
        return Current(pin, files, evaluate(files, gun, now, tags=tags))

    def pin(self, gun: Gun) -> Pin:
        """The pin for a GUN: a stored one, one's own root key, or what a person accepts now (TRUST 5.3)."""
        if stored := self._pins.find(gun):
            return stored
        if own := tuple(self._own()):
            root = self._source.first_root(gun)
            for key_id in own:
                candidate = Pin(str(gun), key_ids=(key_id,), threshold=1)
                if meets(candidate, gun, root):
                    self._pins.add(candidate)
                    return candidate
        if self._ask is None and not self._first_use:
            raise NoPin(
                f"Nothing says which root keys to accept for {gun}.",
                hint=f"Get its root key ids over another channel, then: trustkit pin add {gun} --root-key ID",
                gun=str(gun),
            )
        return self._first_contact(gun)

    def _first_contact(self, gun: Gun) -> Pin:
        try:
            key_ids, threshold = root_key_ids(self._source.first_root(gun))
        except Rejected as error:
            raise WrongRoot(f"The first root of {gun} can't be used: {error.message}") from error
        pin = Pin(str(gun), key_ids=key_ids, threshold=threshold)
        if self._first_use:
            self._warn(
                f"WARNING: unsafe_trust_on_first_use: accepting the root of {gun} that is served just now, unseen."
            )
            return pin
        keys = "\n".join(f"    {key_id}" for key_id in key_ids)
        question = (
            f"{gun} is not pinned. Its root is signed by {threshold} of these keys:\n{keys}\nAccept and pin them"
        )
        if self._ask is None or not self._ask(question):
            raise NoPin(f"The root keys of {gun} were not accepted.", gun=str(gun))
        self._pins.add(pin)
        return pin
