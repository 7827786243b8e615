"""Whom to believe for a GUN, and what its collection says now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from trustkit.client.leading import Follow, LeadingPins
from trustkit.core.clocks import clock_words
from trustkit.core.formats.tuf1 import read
from trustkit.core.names import Gun, Tag
from trustkit.core.patterns import GunPattern
from trustkit.core.pinning import meets, moved
from trustkit.core.ports.remote import LookingSource, MetadataSource, Pin, PinStore
from trustkit.core.readings import Reader
from trustkit.core.records import dataclass
from trustkit.core.roots import ONLINE
from trustkit.core.rules import DOCKER, TUF, Formats
from trustkit.core.view import SignedView
from trustkit.errors import Expired, NoCollection, NoPin, NotTrusted, Rejected, WrongFormat, WrongRoot

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
        looking: looks at states that may have expired; ``seen`` and ``renewable`` take it.
        offset: how far the clock of a GUN's host is ahead of this machine's, where that is known.
        reader: reads files of format ``tuf``; the source's own, so that what that has read isn't read again.
        only: the one format that the caller can do; None for all.
        follow: finds where a pin in format ``docker`` leads after a conversion; None for who stays where he is.
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
        looking: LookingSource | None = None,
        offset: Callable[[Gun], timedelta | None] = lambda _: None,
        reader: Reader = read,
        only: str | None = None,
        follow: Follow | None = None,
    ) -> None:
        self._pins = pins
        self._source = source
        self._ask = ask
        self._warn = warn
        self._first_use = unsafe_trust_on_first_use
        self._own = own_root_keys
        self._looking = looking
        self._offset = offset
        self._told: set[str] = set()
        self._only = only
        self._leading = LeadingPins(pins, follow, warn)
        self.reader = reader
        self.rules = Formats(reader)

    def current(self, gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None) -> Current:
        """The collection's verified state at ``now``; a pin in format ``docker`` follows a conversion (TRUST 5.4).

        Args:
            tags: the roles that answer for these tags are enough; the view then holds no other role's tags.  ``Near``
                are enough for who edits these.

        Raises:
            NoPin: nothing says which root to accept; raised before the network where there is nobody to ask.
            NotTrusted and its leaves, NotAllowed.
        """
        pin = self.pin(gun)
        try:
            return self.under(pin, gun, now, tags=tags)
        except NotTrusted as error:
            new = self._leading.follow(gun, pin, error)
            current = self.under(new, gun, now, tags=tags)
            self._leading.write_down(gun, pin, new)
            return current

    def exists(self, gun: Gun, wire: str = TUF) -> bool:
        """Whether the service has a collection in a format for a GUN, whoever's it is."""
        try:
            self._source.first_root(gun, wire=wire)
        except NoCollection:
            return False
        return True

    def pinned_format(self, gun: Gun) -> str | None:
        """The format that a GUN is pinned in; None where it isn't pinned."""
        stored = self._leading.find(gun)
        return stored.format if stored else None

    def format_of(self, gun: Gun) -> str:
        """The format that a GUN is pinned in; else of what is there; else what the service wants a new one to be.

        Nothing that the service says grants trust: what is there has to meet a pin.

        Raises:
            NotAllowed, CouldNotCheck: the service doesn't say.
        """
        if stored := self._leading.find(gun):
            return stored.format
        try:
            self._source.first_root(gun)
        except NoCollection as error:
            told = error.context.get("format") or error.context.get("default_format")
            return DOCKER if told == DOCKER else TUF
        return TUF

    def under(self, pin: Pin, gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None) -> Current:
        """As ``current``, under this pin."""
        try:
            files = self._source.refresh(gun, pin, now, tags=tags).files
            view = self.rules(pin.format).evaluate(files, gun, now, tags=tags)
        except Expired as error:
            self._tell_who_mends(error, gun, now)
            raise
        self._warn_of_clock(gun, view.issued, now)
        return Current(pin, files, view)

    def seen(self, gun: Gun, now: datetime, *, fresh: Collection[str] = ()) -> Current:
        """What the service serves, verified from the pin in everything but expiry: to be told of, never trusted.

        Nothing of it is kept in the home.  Signatures, the walk from the pin, and versions against what this home has
        seen are checked as ever.

        Args:
            fresh: roles that must not have expired.

        Raises:
            NoPin, NotTrusted and its leaves, NotAllowed.
        """
        pin = self.pin(gun)
        try:
            return self.seen_under(pin, gun, now, fresh=fresh)
        except NotTrusted as error:
            return self.seen_under(self._leading.follow(gun, pin, error), gun, now, fresh=fresh)

    def seen_under(self, pin: Pin, gun: Gun, now: datetime, *, fresh: Collection[str] = ()) -> Current:
        """As ``seen``, under this pin."""
        assert self._looking is not None  # noqa: S101 - a programming error: the wiring gives it
        files = self._looking.look(gun, pin).files
        try:
            return Current(pin, files, self.rules(pin.format).evaluate_but_expiry(files, gun, now, fresh=fresh))
        except Expired as error:
            self._tell_who_mends(error, gun, now)
            raise

    def renewable(self, pin: Pin, gun: Gun, now: datetime, *, fresh: Collection[str] = ONLINE) -> Current:
        """The state that a renewal goes on from: publishers' files may have expired (TRUST 3.1).

        The service's own may not, so that it is the state that it vouches for now, and no old one.  Warns of a clock
        that seems wrong, since what is signed by it expires by it.  Raises Expired for what is the service's
        (``fresh``), and as ``seen``.
        """
        current = self.seen_under(pin, gun, now, fresh=fresh)
        self._warn_of_clock(gun, current.view.issued, now)
        return current

    def attributions(self, current: Current, now: datetime) -> Mapping[Tag, frozenset[str]]:
        """By tag the names of the signers whose own key has signed it for the digest that it is trusted for."""
        return self.rules(current.pin.format).attributions(current.files, current.view, now)

    def follow(self, gun: Gun, current: Current, gone: Collection[str], comes: Sequence[str]) -> bool:
        """Moves this home's own pin to a root whose keys have changed, where it has to (TRUST 5.5).

        A pin of a pattern stays for its other collections.

        Args:
            current: the verified state, the new root included.
            gone, comes: the ids of the root keys that went and came.
        """
        met = partial(self.rules(current.pin.format).meets, now=current.view.expires)  # counts for authorities only
        pin = moved(current.pin, gun, current.files["root"], gone, comes, meets=met)
        if pin is None:
            return False
        self._source.carry(gun, pin, current.files)
        self._pins.add(pin, replace=GunPattern.parse(current.pin.pattern).exact)
        return True

    def clock_words(self, gun: Gun, issued: datetime | None, now: datetime) -> str:
        """A sentence where this machine's clock seems wrong; empty where it doesn't.

        Args:
            issued: when the service signed the timestamp, as that says.
        """
        return clock_words(gun.host, now, issued=issued, offset=self._offset(gun))

    def latest(self, gun: Gun, issued: datetime | None, now: datetime) -> datetime:
        """The later of this machine's clock and its host's: by it, nothing is called well for too long.

        Args:
            issued: as for ``clock_words``.
        """
        return max(now, issued or now, now + (self._offset(gun) or timedelta(0)))

    def _tell_who_mends(self, error: Expired, gun: Gun, now: datetime) -> None:
        words, role = self.clock_words(gun, None, now), str(error.context.get("role"))
        error.hint = f"{words} Set it right, then try again." if words else _renewal(gun, role)

    def _warn_of_clock(self, gun: Gun, issued: datetime | None, now: datetime) -> None:
        words = self.clock_words(gun, issued, now)
        if words and str(gun.host) not in self._told:
            self._told.add(str(gun.host))
            self._warn(f"WARNING: {words}")

    def pin(self, gun: Gun) -> Pin:
        """The pin for a GUN: a stored one, one's own root key, or what a person accepts now (TRUST 5.3)."""
        if stored := self._leading.find(gun, only=self._only):
            self._check_format(gun, stored.format)
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

    def require_format(self, gun: Gun) -> None:
        """Raises WrongFormat where a GUN is pinned in a format that the caller can't do; asks no person."""
        if stored := self._leading.find(gun, only=self._only):
            self._check_format(gun, stored.format)

    def _check_format(self, gun: Gun, name: str) -> None:
        if self._only not in (None, name):
            raise WrongFormat(
                f"{gun} is pinned in format {name}, and this can't be done with such a collection.",
                hint="In format docker there are trustkit sign, revoke, signer, key rotate, and docker's own tools. "
                f"If it was converted since, first: trustkit inspect {gun}",
                format=name,
            )

    def _first_root(self, gun: Gun) -> tuple[str, bytes]:
        """The format of a collection that nothing is known of, and its first root: tuf where there is one."""
        try:
            return TUF, self._source.first_root(gun)
        except NoCollection as error:
            try:
                return DOCKER, self._source.first_root(gun, wire=DOCKER)
            except NotTrusted:
                raise error from None

    def _first_contact(self, gun: Gun) -> Pin:
        try:
            format_, root = self._first_root(gun)
            self._check_format(gun, format_)
            key_ids, threshold = self.rules(format_).root_key_ids(root, gun)
        except Rejected as error:
            raise WrongRoot(f"The first root of {gun} can't be used: {error.message}") from error
        pin = Pin(str(gun), key_ids=key_ids, threshold=threshold, format=format_)
        if self._first_use:
            self._warn(
                f"WARNING: unsafe_trust_on_first_use: accepting the root of {gun} that is served just now, unseen."
            )
            return pin
        keys = "\n".join(f"    {key_id}" for key_id in key_ids)
        question = (
            f"{gun} is not pinned. {_FORMAT[format_]}Its root is signed by {threshold} of these keys:\n{keys}\n"
            "Accept and pin them"
        )
        if self._ask is None or not self._ask(question):
            raise NoPin(f"The root keys of {gun} were not accepted.", gun=str(gun))
        self._pins.add(pin)
        return pin


_FORMAT = {TUF: "", DOCKER: "It is in the format of Docker Content Trust. "}


def _renewal(gun: Gun, role: str) -> str:
    who = "The service renews it" if role in ONLINE else f"Its publisher renews it: trustkit renew {gun}"
    return f"{who}; who can is said by trustkit status {gun}. Check this machine's clock, too."
