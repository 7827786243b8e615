"""Tokens that PKCS#11 reaches: finding the one that a URI means, and opening it with its PIN once a run.

The PIN is a passphrase, from the same sources.  A wrong one is never tried again, since tokens lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trustkit.errors import InvalidSetting, KeyUnavailable, UsageError, WrongPassphrase
from trustkit.keys import sdks
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.subjects import PER_KEY, Subject
from trustkit.keys.uris import Pkcs11Uri

if TYPE_CHECKING:
    import pkcs11

PIN = "TRUSTKIT_HSM_PIN"
MODULE = "TRUSTKIT_PKCS11_MODULE"
_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/lib",
            "/opt/homebrew/lib")  # fmt: skip
_FILES = ("softhsm/libsofthsm2.so", "pkcs11/libsofthsm2.so", "opensc-pkcs11.so", "pkcs11/opensc-pkcs11.so")
USUAL_PLACES = tuple(f"{folder}/{file}" for folder in _FOLDERS for file in _FILES)


@dataclass(frozen=True, slots=True)
class PinSubject:
    """The PIN of a token, wanted for a key on it; its words go into prompts and errors."""

    where: str
    key: Subject
    place: str = ""

    @property
    def key_id(self) -> str:
        return self.key.key_id

    @property
    def variables(self) -> tuple[str, ...]:
        return (*(name for name in self.key.variables if name.startswith(PER_KEY)), PIN)

    @property
    def facts(self) -> dict[str, str]:
        return {**self.key.facts, "token": self.where}

    def __str__(self) -> str:
        return f"{self.where} (its PIN), for {self.key}"


class Tokens:
    """The tokens of one run, each opened once.

    Args:
        environ: where ``TRUSTKIT_PKCS11_MODULE`` may say which module reaches them.
        pins: where PINs come from.
    """

    def __init__(self, environ: Mapping[str, str], pins: PassphraseSource) -> None:
        self._environ = environ
        self._pins = pins
        self._sessions: dict[tuple[str, int], tuple[pkcs11.Session, bytes]] = {}
        self._wrong: dict[tuple[str, int], WrongPassphrase] = {}

    def session(self, uri: Pkcs11Uri, wanted: Subject) -> tuple[pkcs11.Session, bytes]:
        """An open session, logged in, on the one token that the URI means, and the PIN that opened it.

        The session can write, and lasts until ``close``.

        Args:
            wanted: the key that it is opened for.

        Raises:
            KeyUnavailable: no such token; it doesn't open or has locked its PIN.
            WrongPassphrase: the PIN is wrong; it was tried once, and isn't again in this run.
            UsageError: several tokens fit.
            NoPassphrase, InvalidSetting: no PIN to be had; no module, or no python-pkcs11.
        """
        module, token = self._find(uri)
        key = (module, token.slot.slot_id)
        if key in self._wrong:
            raise self._wrong[key]
        if key not in self._sessions:
            with speaking(uri.where):
                self._sessions[key] = self._open(token, PinSubject(_where(token), wanted), key)
        return self._sessions[key]

    def close(self) -> None:
        """Logs out of every token; a session that the token has ended is let go."""
        while self._sessions:
            import pkcs11

            _, (session, _) = self._sessions.popitem()
            with contextlib.suppress(pkcs11.PKCS11Error):
                session.close()

    def look_anew(self, uri: Pkcs11Uri) -> None:
        """Lets the modules that may reach this token go; the next session finds tokens as a new process does.

        Ends every session of this process with them.  Raises InvalidSetting: no module.
        """
        import pkcs11

        self.close()
        for module in self._modules(uri):
            with contextlib.suppress(pkcs11.PKCS11Error):
                pkcs11.lib(module).finalize()

    def _open(self, token: pkcs11.Token, subject: PinSubject, key: tuple[str, int]) -> tuple[pkcs11.Session, bytes]:
        import pkcs11

        if pkcs11.TokenFlag.USER_PIN_LOCKED in token.flags:
            raise _locked(subject)
        if pkcs11.TokenFlag.PROTECTED_AUTHENTICATION_PATH in token.flags:
            return token.open(rw=True, user_pin=pkcs11.PROTECTED_AUTH), b""
        pin = self._pins.existing(subject)
        try:
            text = pin.value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidSetting(f"The PIN from {pin.source} is no UTF-8 text, so it isn't tried.") from error
        try:
            return token.open(rw=True, user_pin=text), pin.value
        except pkcs11.UserAlreadyLoggedIn:  # another key store of this process has opened it
            return token.open(rw=True), pin.value
        except pkcs11.PinLocked as error:
            raise _locked(subject) from error
        except (pkcs11.PinIncorrect, pkcs11.PinLenRange, pkcs11.PinInvalid) as error:
            self._wrong[key] = WrongPassphrase(
                f"The PIN from {pin.source} doesn't open {subject.where}; it was wanted for {subject.key}.",
                hint="It isn't tried again, since tokens lock after a few wrong PINs.",
                **subject.facts,
                source=pin.source,
            )
            raise self._wrong[key] from error

    def _find(self, uri: Pkcs11Uri) -> tuple[str, pkcs11.Token]:
        sdks.bring_in("pkcs11")
        modules = self._modules(uri)
        here, trouble = [], []
        for module in modules:
            try:
                here += [(module, token) for token in _initialised(module)]
            except KeyUnavailable as error:
                trouble.append(error)
        fitting = [(module, token) for module, token in here if _fits(token, uri)]
        if len(fitting) == 1:
            return fitting[0]
        if trouble and not fitting:
            raise KeyUnavailable(
                f"{uri.where[0].upper()}{uri.where[1:]} can't be looked for. {trouble[0].message}",
                hint="Where it was pulled out, plug it in and start again.",
            ) from trouble[0]
        seen = ", ".join(f"{token.label!r} (serial={_text(token.serial)})" for _, token in fitting or here)
        if fitting:
            raise UsageError(f"{len(fitting)} tokens fit: {seen}.", hint="Say which in the URI, with serial=.")
        raise KeyUnavailable(
            f"{uri.where[0].upper()}{uri.where[1:]} isn't here; {', '.join(modules)} shows {seen or 'none'}.",
            hint="Plug it in, or correct the URI.",
        )

    def _modules(self, uri: Pkcs11Uri) -> list[str]:
        named = uri.module or self._environ.get(MODULE, "")
        if named and not Path(named).is_file():
            by = "module-path of the URI" if uri.module else MODULE
            raise InvalidSetting(f"There is no PKCS#11 module {named}, which {by} names.")
        found = [named] if named else [place for place in USUAL_PLACES if Path(place).is_file()]
        if not found:
            raise InvalidSetting(
                "No PKCS#11 module is in the usual places.",
                hint=f"Set {MODULE} to the path of the one that your device came with.",
            )
        return list({Path(place).resolve(): place for place in reversed(found)}.values())[::-1]


@contextlib.contextmanager
def speaking(where: str) -> Iterator[None]:
    """The one place where what a PKCS#11 module raises becomes ours: KeyUnavailable that names the token."""
    import pkcs11

    gone = (pkcs11.DeviceRemoved, pkcs11.TokenNotPresent, pkcs11.ObjectHandleInvalid, pkcs11.SessionHandleInvalid,
            pkcs11.SessionClosed, pkcs11.KeyHandleInvalid, pkcs11.SlotIDInvalid, pkcs11.DeviceError)  # fmt: skip
    try:
        yield
    except gone as error:
        raise KeyUnavailable(
            f"{where[0].upper()}{where[1:]} was pulled out or reset while it was used ({type(error).__name__}).",
            hint="Plug it in and start again; what it was wanted for was not signed.",
        ) from error
    except pkcs11.PKCS11Error as error:
        raise KeyUnavailable(f"{where[0].upper()}{where[1:]} refuses: {type(error).__name__}.") from error


def _initialised(module: str) -> list[pkcs11.Token]:
    import pkcs11

    try:
        found = []
        for slot in pkcs11.lib(module).get_slots(token_present=True):
            with contextlib.suppress(pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised):
                found.append(slot.get_token())
    except pkcs11.PKCS11Error as error:
        reason = str(error) or type(error).__name__
        raise KeyUnavailable(f"The PKCS#11 module {module} can't be used: {reason}.") from error
    return [token for token in found if pkcs11.TokenFlag.TOKEN_INITIALIZED in token.flags]


def _fits(token: pkcs11.Token, uri: Pkcs11Uri) -> bool:
    said = (
        (uri.token, token.label),
        (uri.serial, _text(token.serial)),
        (uri.model, token.model),
        (uri.manufacturer, token.manufacturer_id),
    )
    return all(not wanted or wanted == has for wanted, has in said) and uri.slot_id in (None, token.slot.slot_id)


def _where(token: pkcs11.Token) -> str:
    return f"the token {token.label!r} in slot {token.slot.slot_id}"


def _text(serial: bytes) -> str:
    return serial.decode("utf-8", "replace").strip()


def _locked(subject: PinSubject) -> KeyUnavailable:
    return KeyUnavailable(
        f"{subject.where[0].upper()}{subject.where[1:]} has locked its PIN after too many wrong ones.",
        hint="Unlock it with the tool that it came with.",
        **subject.facts,
    )
