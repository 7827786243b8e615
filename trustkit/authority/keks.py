"""The key-encryption key of a service: opened at its start, and moved under a device and back (TRUST 8.5).

It lies in a plain file, or wrapped by a key that never leaves its device.  A change writes the new file, opens it
again and compares, and only then removes the old one: whenever it is cut short, there is a file that the service
starts with.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trustkit.authority.sealing import KEK_BYTES, Sealer
from trustkit.authority.wrappedkek import WrappedKek, kek_id
from trustkit.core.ports.wrapping import KekFiles, KeyWrapper
from trustkit.errors import StateError, TrustkitError

log = logging.getLogger("trustkit.kek")

Check = Callable[[bytes], None]
"""Raises StateError for a key-encryption key under which what is sealed here doesn't open."""


@dataclass(frozen=True, slots=True)
class KekPlace:
    """One place where the key-encryption key lies; ``uri`` and ``how`` are empty for the plain file."""

    path: str
    id: str
    uri: str = ""
    how: str = ""


class Keks:
    """The key-encryption key of one data folder.

    Args:
        wrapper: what wraps it; None where it lies in a plain file.
    """

    def __init__(self, files: KekFiles, wrapper: KeyWrapper | None = None) -> None:
        self._files = files
        self._wrapper = wrapper

    def open(self, *, create: bool) -> bytes:
        """The key-encryption key.

        Args:
            create: make one where there is none at all, since nothing is sealed yet.

        Raises:
            StateError: none is there, or it lies in the other of the two ways; a file is damaged or was changed.
            others: as ``KeyWrapper``.
        """
        with self._working():
            wrapped = self._read_wrapped()
            if self._wrapper is None:
                return self._open_plain(wrapped, create=create)
            if wrapped is not None:
                if self._files.has_plain():
                    log.warning("%s is there, too; remove it with: %s wrap", self._files.plain, _COMMAND)
                return wrapped.open(self._wrapper)
            if self._files.has_plain():
                raise StateError(
                    f"The key-encryption key is in {self._files.plain}, and not wrapped by {self._wrapper.uri}.",
                    hint=f"Wrap it: {_COMMAND} wrap --kek-uri URI",
                )
            if not create:
                raise StateError(f"There is no wrapped key-encryption key at {self._files.wrapped}.", hint=_RESTORE)
            kek = secrets.token_bytes(KEK_BYTES)
            self._write_wrapped(kek, self._wrapper)
            return kek

    def sealer(self, *, create: bool) -> Sealer:
        """What seals under it, and opens what was sealed under the one before while it is being changed.

        One from a plain file looks at that again when it has to.  Raises as ``open``.
        """
        current = self.open(create=create)
        if self._wrapper is not None:
            return Sealer(current)
        return Sealer(*(self._files.read_keys() or (current,)), again=self._files.read_again)

    def wrap(self, check: Check) -> KekPlace:
        """Moves the key-encryption key from its plain file under the device; also ends a move that was cut short.

        Raises:
            StateError: there is none; it isn't this service's; the two files differ; or as ``open``.
            others: as ``KeyWrapper``.
        """
        wrapper = self._required()
        with self._working():
            kek, wrapped = self._files.read_plain(), self._read_wrapped()
            if len(self._files.read_keys()) > 1:
                raise StateError(f"{self._files.plain} is being changed.", hint=f"End that first: {_COMMAND} rotate")
            if wrapped is None:
                check(kek := self._there(kek))
                wrapped = self._write_wrapped(kek, wrapper)
            else:
                opened = wrapped.open(wrapper)
                self._require_same(kek, opened)
                check(opened)
            if kek is not None:
                self._files.remove_plain()
        return self._place(wrapped)

    def unwrap(self, check: Check) -> KekPlace:
        """Moves it back into the plain file; also ends a move that was cut short.  Raises as ``wrap``."""
        wrapper = self._required()
        with self._working():
            wrapped = self._read_wrapped()
            if wrapped is None:
                raise StateError(f"There is no wrapped key-encryption key at {self._files.wrapped}.")
            opened = wrapped.open(wrapper)
            check(opened)
            plain = self._files.read_plain()
            self._require_same(plain, opened)
            if plain is None:
                self._files.write_plain(opened)
                if self._files.read_plain() != opened:
                    raise StateError(f"{self._files.plain} can't be read back.", hint="Look after the disk.")
            self._files.remove_wrapped()
        return KekPlace(self._files.plain, kek_id(opened))

    def places(self) -> list[KekPlace]:
        """Where it lies, without asking the device: what a wrapped file says is shown as it stands there."""
        kek, wrapped = self._files.read_plain(), self._read_wrapped()
        plain = [] if kek is None else [KekPlace(self._files.plain, kek_id(kek))]
        return plain + ([] if wrapped is None else [self._place(wrapped)])

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """Nobody else moves the key meanwhile; the device is let go afterwards."""
        try:
            with self._files.locked():
                yield
        finally:
            if self._wrapper is not None:
                self._wrapper.close()

    def _open_plain(self, wrapped: WrappedKek | None, *, create: bool) -> bytes:
        if wrapped is None and create:
            return self._files.make_plain()
        kek = self._files.read_plain()
        if kek is not None:
            if wrapped is not None:
                log.warning("%s is there, too: a move was cut short; end it with: %s wrap, or unwrap",
                            self._files.wrapped, _COMMAND)  # fmt: skip
            return kek
        if wrapped is not None:
            raise StateError(
                f"The key-encryption key is wrapped by {wrapped.uri}.",
                hint="Give that URI with --kek-uri, or set TRUSTKIT_KEK_URI to it.",
                uri=wrapped.uri,
            )
        return self._there(None)

    def _there(self, kek: bytes | None) -> bytes:
        if kek is None:
            raise StateError(f"There is no key-encryption key at {self._files.plain}.", hint=_RESTORE)
        return kek

    def _read_wrapped(self) -> WrappedKek | None:
        data = self._files.read_wrapped()
        return None if data is None else WrappedKek.parse(data)

    def _write_wrapped(self, kek: bytes, wrapper: KeyWrapper) -> WrappedKek:
        """Has the device open what it wrapped before the file is written, and what the file says after it was."""
        made = WrappedKek.make(kek, wrapper)
        if made.open(wrapper) != kek:
            raise StateError(f"{wrapper.uri} doesn't give back what it wrapped.")
        self._files.write_wrapped(made.render())
        try:
            written = self._read_wrapped()
            if written is None or written.open(wrapper) != kek:
                raise StateError(f"{self._files.wrapped} can't be read back.", hint="Look after the disk.")
        except TrustkitError:
            self._files.remove_wrapped()
            raise
        return made

    def _required(self) -> KeyWrapper:
        if self._wrapper is None:
            raise StateError("Nothing wraps the key-encryption key here.", hint="Give --kek-uri.")
        return self._wrapper

    def _require_same(self, one: bytes | None, other: bytes | None) -> None:
        if one is not None and other is not None and one != other:
            raise StateError(
                f"{self._files.plain} and {self._files.wrapped} hold two different key-encryption keys.",
                hint=f"Look which is the service's ({_COMMAND} show), and move the other one away.",
            )

    def _place(self, wrapped: WrappedKek) -> KekPlace:
        return KekPlace(self._files.wrapped, wrapped.id, wrapped.uri, wrapped.how)


_COMMAND = "trustkit admin --data-dir DIR kek"
_RESTORE = "Put it back from a backup, and look that --data-dir is the service's."
