"""The service's online keys on tokens and in key services: looked at once, and signed with for years.

Nobody is at a terminal, and a place may go and come back.  So no call waits longer than it may, each place has one
call at a time (PKCS#11 modules needn't bear more), and what failed is opened anew at the next call.
"""

from __future__ import annotations

import concurrent.futures
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from securesystemslib.signer import Key, Signature, Signer

from trustkit.core.publickeys import P256, P384, check_key
from trustkit.errors import KeyUnavailable, KeyUnsupported, NoPassphrase, TrustkitError
from trustkit.keys import kms, pkcs11
from trustkit.keys.keypairs import Algorithm
from trustkit.keys.passphrase import PassphraseSource
from trustkit.keys.remote import CheckedSigner
from trustkit.keys.tokens import PIN, Tokens
from trustkit.keys.uris import KeyUri, KmsUri, Pkcs11Uri, parse_uri

Done = TypeVar("Done")

PATIENCE_SECONDS = 8.0
"""The database is locked meanwhile, and clients, also those of other collections, wait 15 s for a first byte."""
_PROBE = b"trustkit asks whether this online key signs: "


@dataclass(frozen=True, slots=True)
class OnlineSubject:
    """The online keys of a service, for which a PIN is wanted."""

    key_id: str = ""
    place: str = ""
    variables: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return "the online keys"


class OnlinePlaces:
    """Satisfies ``core.ports.places.KeyPlaces``.  Nothing is loaded or asked before the first call.

    Args:
        environ: settings of PKCS#11 modules; key services' packages read their own from the process.
        pins: where the PINs of tokens come from.
        patience: how many seconds a call may take; None where somebody sits before it, who may have to type a PIN.
    """

    def __init__(
        self, environ: Mapping[str, str], pins: PassphraseSource, *, patience: float | None = PATIENCE_SECONDS
    ) -> None:
        self._environ = environ
        self._tokens = Tokens(environ, pins)
        self._patience = patience
        self._turns: dict[str, _Turn] = {}
        self._open: dict[tuple[str, str], Signer] = {}

    def look(self, uri: str) -> tuple[str, Key]:
        """The one spelling of the URI, and the public half of its key."""
        parsed = parse_uri(uri)

        def looked() -> tuple[str, Key]:
            place: KeyUri = parsed
            if isinstance(parsed, KmsUri):
                public, place = kms.fetch_public(parsed)
            else:
                public = pkcs11.read_public(self._tokens.session(parsed, OnlineSubject())[0], parsed)
            check_key(public)
            self._signer(place, public).sign(_PROBE + secrets.token_bytes(32))
            return str(place), public

        return self._asked(parsed, looked)

    def sign(self, uri: str, public: Key, payload: bytes) -> Signature:
        """A signature, verified."""
        parsed = parse_uri(uri)
        return self._asked(parsed, lambda: self._signer(parsed, public).sign(payload))

    def unlock(self, token: Pkcs11Uri) -> None:
        """Opens a token while there may be somebody to ask, and keeps its PIN: nobody is asked from here on."""

        def unlocked() -> None:
            _, pin = self._tokens.session(token, OnlineSubject())
            self.close()
            self._tokens = Tokens(self._environ, PassphraseSource(environ={PIN: pin.decode()} if pin else {}))

        self._turn(token).take(unlocked, None, str(token))

    def make(self, token: Pkcs11Uri, label: str) -> tuple[Key, str]:
        """A new key on a token, ECDSA P-256: its public half and its URI; raises KeyExists, otherwise as ``sign``."""

        def made() -> tuple[Key, str]:
            session, _ = self._tokens.session(token, OnlineSubject())
            place = pkcs11.generate(session, token, Algorithm.P256, label)
            return pkcs11.read_public(session, place), str(place)

        return self._asked(token, made)

    def close(self) -> None:
        """Lets go of tokens."""
        self._open.clear()
        self._tokens.close()

    def _signer(self, uri: KeyUri, public: Key) -> Signer:
        at = (str(uri), public.keyid)
        if at not in self._open:
            self._open[at] = CheckedSigner(self._opened(uri, public), uri)
        return self._open[at]

    def _opened(self, uri: KeyUri, public: Key) -> Signer:
        if isinstance(uri, KmsUri):
            return kms.open_signer(uri, public)
        if (public.keytype, public.scheme) not in (P256, P384):
            raise KeyUnsupported("A token signs with ECDSA P-256 or P-384, and this online key is of another type.")
        session, pin = self._tokens.session(uri, OnlineSubject())
        return pkcs11.Pkcs11Signer(session, pin, uri, public)

    def _asked(self, uri: KeyUri, call: Callable[[], Done]) -> Done:
        return self._turn(uri).take(lambda: self._twice(uri, call), self._patience, str(uri))

    def _turn(self, uri: KeyUri) -> _Turn:
        return self._turns.setdefault(uri.scheme, _Turn())

    def _twice(self, uri: KeyUri, call: Callable[[], Done]) -> Done:
        """A token that was pulled out and is back is found by who looks anew, and by nobody else."""
        try:
            return call()
        except KeyUnavailable:
            self._open.clear()
            if not isinstance(uri, Pkcs11Uri):
                raise
            self._tokens.look_anew(uri)
            return call()
        except NoPassphrase as error:
            if self._patience is not None:
                error.hint = "Start the service with --online-key-pin-file, or with TRUSTKIT_HSM_PIN set."
            raise
        except TrustkitError:
            self._open.clear()
            raise


class _Turn:
    """One call at a time to one kind of place; one that hangs is left alone, and those after it fail at once."""

    def __init__(self) -> None:
        self._free = threading.Lock()
        self._hangs = False

    def take(self, call: Callable[[], Done], patience: float | None, what: str) -> Done:
        """What the call gives.

        Args:
            patience: how many seconds to wait, for the turn and the answer; None for as long as it takes.

        Raises:
            KeyUnavailable: no answer in time, or none yet to a call before; otherwise as ``call``.
        """
        if patience is None:
            with self._free:
                return call()
        until = time.monotonic() + patience
        if not self._free.acquire(timeout=0 if self._hangs else patience):
            raise _silent(what)
        answer: concurrent.futures.Future[Done] = concurrent.futures.Future()
        threading.Thread(target=self._run, args=(call, answer), name="online key", daemon=True).start()
        concurrent.futures.wait([answer], timeout=max(0.0, until - time.monotonic()))
        if not answer.done():
            self._hangs = True
            raise _silent(what)
        return answer.result()

    def _run(self, call: Callable[[], Done], answer: concurrent.futures.Future[Done]) -> None:
        """In a thread that nothing waits for, so that a call that never ends doesn't keep the process from ending."""
        try:
            made = call()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised again where the answer is awaited
            self._release()
            answer.set_exception(error)
        else:
            self._release()
            answer.set_result(made)

    def _release(self) -> None:
        self._hangs = False
        self._free.release()


def _silent(what: str) -> KeyUnavailable:
    return KeyUnavailable(
        f"What holds {what} doesn't answer.", hint="Look after the device, or after the network to the key service."
    )
