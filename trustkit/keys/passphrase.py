"""Where passphrases come from: a file, a descriptor, the environment, the system keyring or a prompt, in that order.

A passphrase is never echoed, logged, part of an error or of a repr, and never taken from a command line.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from trustkit.errors import InvalidSetting, NoPassphrase, WeakPassphrase, WrongPassphrase
from trustkit.keys.subjects import PER_KEY as PER_KEY
from trustkit.keys.subjects import VARIABLES as VARIABLES
from trustkit.keys.subjects import KeySubject as KeySubject
from trustkit.keys.subjects import Subject
from trustkit.keys.systemkeyring import KEYRING_SWITCH as KEYRING_SWITCH
from trustkit.keys.systemkeyring import ask_keyring, switched_on

Opened = TypeVar("Opened")

Prompt = Callable[[str], str]
"""Shows the text, reads one line without echo; raises EOFError where there is nobody."""

MIN_CHARACTERS = 8
MAX_BYTES = 1024
TRIES = 3


@dataclass(frozen=True, slots=True)
class Passphrase:
    """A passphrase and where it came from, as words for an error.  ``prompted``: asking again may give another."""

    value: bytes = field(repr=False)
    source: str
    prompted: bool = False


class PassphraseSource:
    """The passphrases of one run.

    Args:
        environ: the environment; nothing else is read from the process's own.
        file: a file that holds one passphrase, for every key that the run needs; one trailing newline is dropped.
        descriptor: the number of an open descriptor, read once to its end, likewise.
        interactive: whether there is somebody to ask.
        prompt: how to ask; the terminal unless given.
        option: the option that ``file`` comes from, for hints.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        file: Path | None = None,
        descriptor: int | None = None,
        interactive: bool = False,
        prompt: Prompt | None = None,
        option: str = "--passphrase-file",
    ) -> None:
        if file is not None and descriptor is not None:
            raise InvalidSetting("A passphrase comes from a file or a descriptor, not from both.")
        self._environ = environ
        self._file = file
        self._descriptor = descriptor
        self._prompt = (prompt or ask_terminal) if interactive else None
        self._option = option
        self._read: Passphrase | None = None

    def __repr__(self) -> str:
        return (
            f"PassphraseSource(file={self._file}, descriptor={self._descriptor}, prompts={self._prompt is not None})"
        )

    def existing(self, subject: Subject, *, after_wrong: bool = False) -> Passphrase:
        """The passphrase of a key that has one.

        Args:
            after_wrong: the last one from the prompt was wrong; the prompt says so.

        Raises:
            NoPassphrase: no source gives one.
            InvalidSetting: a source is named and can't be read.
        """
        given = next(self._given(subject), None) or self._from_keyring(subject)
        if given:
            return given
        prefix = "That passphrase is wrong. " if after_wrong else ""
        return Passphrase(self._ask(f"{prefix}Passphrase for {subject}: ", subject), "the prompt", prompted=True)

    def new(self, subject: Subject) -> Passphrase:
        """A passphrase for a new key or a new encryption; the prompt asks twice, the keyring isn't asked.

        Raises:
            WeakPassphrase: shorter than 8 characters, or still not entered twice the same after three tries.
            NoPassphrase, InvalidSetting: as ``existing``.
        """
        given = next(self._given(subject), None)
        if given:
            check_strength(given, subject)
            return given
        return self._ask_new(subject)

    def open(
        self, subject: Subject, opener: Callable[[bytes], Opened], *, hint: str = ""
    ) -> tuple[Opened, Passphrase]:
        """What the first passphrase opens that a source gives, and that passphrase; only a prompt is asked again.

        Args:
            opener: opens it, or raises WrongPassphrase.
            hint: what else a wrong passphrase may mean.

        Raises:
            WrongPassphrase: names the subject, where it lies and where the passphrase came from.
            NoPassphrase, InvalidSetting: as ``existing``.
        """
        tries = 0
        while True:
            passphrase = self.existing(subject, after_wrong=tries > 0)
            tries += 1
            try:
                return opener(passphrase.value), passphrase
            except WrongPassphrase as error:
                if not passphrase.prompted or tries == TRIES:
                    raise _wrong(subject, passphrase, hint) from error

    def open_any(
        self, subject: Subject, opener: Callable[[bytes], Opened], known: Sequence[Passphrase] = ()
    ) -> tuple[Opened, Passphrase]:
        """As ``open``, with every passphrase that a source gives: keys of several tools have those of several tools.

        Args:
            known: what is tried first, of which nothing is said where it doesn't open this.
        """
        last: Passphrase | None = None
        for passphrase in (*known, *self._given(subject)):
            last = passphrase if passphrase not in known else last
            with contextlib.suppress(WrongPassphrase):
                return opener(passphrase.value), passphrase
        if last is not None and self._prompt is None:
            raise _wrong(subject, last, "")
        for tries in range(1, TRIES + 1):
            prefix = "That passphrase is wrong. " if tries > 1 else ""
            asked = Passphrase(self._ask(f"{prefix}Passphrase for {subject}: ", subject), "the prompt", prompted=True)
            try:
                return opener(asked.value), asked
            except WrongPassphrase as error:
                wrong = error
        raise _wrong(subject, asked, "") from wrong

    def _given(self, subject: Subject) -> Iterator[Passphrase]:
        target = self._file if self._file is not None else self._descriptor
        if target is not None:
            self._read = self._read or self._read_once(target)
            yield self._read
        for name in subject.variables:
            value = self._environ.get(name, "")
            if value:
                yield _checked(os.fsencode(value), f"the environment variable {name}")

    def _read_once(self, target: Path | int) -> Passphrase:
        where = f"descriptor {target}" if isinstance(target, int) else f"the file {target}"
        try:
            with open(target, "rb", closefd=not isinstance(target, int)) as file:
                data = file.read(MAX_BYTES + 3)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not an open descriptor"
            raise InvalidSetting(f"The passphrase can't be read from {where}: {reason}.") from error
        data = data.removesuffix(b"\n").removesuffix(b"\r")
        if not data:
            raise NoPassphrase(f"There is no passphrase in {where}: it is empty.")
        return _checked(data, where)

    def _from_keyring(self, subject: Subject) -> Passphrase | None:
        if not subject.key_id or not switched_on(self._environ):
            return None
        value = ask_keyring(subject.key_id)
        return _checked(value.encode(), "the system keyring") if value else None

    def _ask(self, text: str, subject: Subject) -> bytes:
        if self._prompt is None:
            raise self._nobody(subject)
        try:
            value = self._prompt(text)
        except EOFError as error:
            raise self._nobody(subject, "none was entered") from error
        return _checked(value.encode("utf-8", "surrogateescape"), "the prompt").value

    def _ask_new(self, subject: Subject) -> Passphrase:
        trouble = ""
        for _ in range(TRIES):
            entered = Passphrase(self._ask(f"{trouble}New passphrase for {subject}: ", subject), "the prompt")
            if _characters(entered) < MIN_CHARACTERS:
                trouble = f"It takes at least {MIN_CHARACTERS} characters. "
            elif self._ask(f"Repeat the passphrase for {subject}: ", subject) != entered.value:
                trouble = "The two differ. "
            else:
                return entered
        raise WeakPassphrase(f"No new passphrase for {subject} after {TRIES} tries. {trouble}".strip())

    def _nobody(self, subject: Subject, why: str = "no terminal to ask on") -> NoPassphrase:
        names = subject.variables
        empty = [name for name in names if self._environ.get(name) == ""]
        also = f" {', '.join(empty)} is set, and empty." if empty else ""
        way = f"Set {names[0]}, give {self._option}, or run it on a terminal." if self._environ else ""
        return NoPassphrase(
            f"There is no passphrase for {subject}, and {why}.{also}",
            hint=way or f"Give {self._option}, or run it on a terminal.",
            **subject.facts,
        )


def _wrong(subject: Subject, passphrase: Passphrase, hint: str) -> WrongPassphrase:
    where = f" in {subject.place}" if subject.place else ""
    first = "" if passphrase.prompted else "It was tried first because it is set; set the right one, or unset it."
    return WrongPassphrase(
        f"The passphrase from {passphrase.source} doesn't open {subject}{where}.",
        hint=" ".join(filter(None, (first, hint))),
        **subject.facts,
        source=passphrase.source,
    )


def check_strength(passphrase: Passphrase, subject: Subject) -> None:
    """Raises WeakPassphrase for a new passphrase of under 8 characters."""
    if _characters(passphrase) < MIN_CHARACTERS:
        raise WeakPassphrase(
            f"The passphrase for {subject} from {passphrase.source} has under {MIN_CHARACTERS} characters.",
            hint="Let a password manager make and keep a long one.",
        )


def ask_terminal(text: str) -> str:
    """Asks on the controlling terminal without echo; raises EOFError where echo can't be switched off."""
    import getpass
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(text)
        except getpass.GetPassWarning as error:
            raise EOFError("no terminal that hides what is typed") from error


def _characters(passphrase: Passphrase) -> int:
    return len(passphrase.value.decode("utf-8", "replace"))


def _checked(value: bytes, source: str) -> Passphrase:
    if len(value) > MAX_BYTES:
        raise InvalidSetting(f"What {source} gives is longer than the {MAX_BYTES} bytes of a passphrase.")
    return Passphrase(value, source)
