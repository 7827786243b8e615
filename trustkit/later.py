"""Modules that others load and a command mostly does without: each is loaded when something of it is used.

A verifier is a process for each pull, and much of what it would load is there for what it never does: ``inspect`` for
the help of commands, ``traceback`` for what nobody catches, python-tuf's own way to fetch, which ours replaces.
Whoever uses something of such a module gets the real one's, at that moment and without noticing.
"""

from __future__ import annotations

import gc
import os
import sys
from _thread import allocate_lock
from importlib import import_module
from types import ModuleType
from typing import Any

MODULES: dict[str, tuple[str, ...]] = {
    # cryptography exports them beside what loads keys; no key of ours is one of OpenSSH's
    "cryptography.hazmat.primitives.serialization.ssh": (
        *("SSHCertPrivateKeyTypes", "SSHCertPublicKeyTypes", "SSHCertificate", "SSHCertificateBuilder"),
        *("SSHCertificateType", "SSHPrivateKeyTypes", "SSHPublicKeyTypes", "load_ssh_private_key"),
        *("load_ssh_public_identity", "load_ssh_public_key", "ssh_key_fingerprint"),
    ),
    "importlib.metadata": ("version",),  # urllib3, for HTTP/2
    "inspect": (),  # click and dataclasses
    "platform": (),  # uuid, for click, which asks on what system it is
    "random": (),  # cryptography and email
    # securesystemslib's Ed25519 in Python, for where cryptography isn't installed
    "securesystemslib._vendor.ed25519.ed25519": ("SignatureMismatch", "checkvalid"),
    "shutil": (),  # python-tuf, tempfile
    "tempfile": (),  # python-tuf
    "traceback": (),  # logging
    "tuf.ngclient.urllib3_fetcher": ("Urllib3Fetcher",),  # python-tuf, for who gives it no fetcher
}
"""Each with what others import from it by name: functions and classes.  Every other name, as another version of a
library may ask for, loads the module."""


OBJECTS_BEFORE_COLLECTION = 100_000
"""Python's 700 make a start collect dozens of times, while all that it makes are modules: 20 ms of 200."""


def put_off() -> None:
    """Makes this process load these when something of them is used; what is loaded already stays as it is.  Garbage
    is looked for late, too."""
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
    for name, called in MODULES.items():
        if name not in sys.modules:
            sys.modules[name] = _Waiting(name, called)


class _Waiting(ModuleType):
    """Stands where a module will be; whoever holds on to it has everything of that one through it, then and later."""

    def __init__(self, name: str, called: tuple[str, ...]) -> None:
        super().__init__(name)
        vars(self)[_STANDS_FOR] = {each: _Later(self, each) for each in called}
        if name == "inspect":
            vars(self)[_STANDS_FOR].update(cleandoc=_cleaning(self), signature=_signing(self))
        if name == "platform":
            vars(self)[_STANDS_FOR].update(system=lambda: os.uname().sysname)  # what it says itself, but on Windows
        _bind(self)

    def __getattr__(self, name: str) -> Any:
        real = vars(self).get(_REAL)
        if real is None and name in vars(self)[_STANDS_FOR]:
            _bind(self)  # the package may be asking
            return vars(self)[_STANDS_FOR][name]
        if real is None and name in _ASKED_OF_ALL:
            raise AttributeError(name)
        return getattr(real or _loaded(self), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(_loaded(self), name, value)

    def __dir__(self) -> list[str]:
        return dir(_loaded(self))


_ASKED_OF_ALL = frozenset({"__path__", "__file__", "__wrapped__"})
"""What is asked of any module, by who means none."""


_REAL, _STANDS_FOR = "_trustkit_real", "_trustkit_stands_for"
_REPLACING = allocate_lock()


def _loaded(waiting: ModuleType) -> ModuleType:
    """The real module, which stands in its place from now on.  Several threads may ask at once."""
    with _REPLACING:  # and not while it is imported: whoever imports holds locks of its own
        if sys.modules.get(waiting.__name__) is waiting:
            del sys.modules[waiting.__name__]
    real = import_module(waiting.__name__)
    vars(waiting)[_REAL] = real
    return real


def _bind(waiting: ModuleType) -> None:
    """Has it stand in its package, too, as the import system does once a module is loaded."""
    package, _, name = waiting.__name__.rpartition(".")
    if package in sys.modules:
        vars(sys.modules[package]).setdefault(name, waiting)


class _Later:
    """Stands for a function or a class of a waiting module: called, looked into, or asked what is one."""

    def __init__(self, waiting: ModuleType, name: str) -> None:
        self._waiting = waiting
        self.__name__ = self.__qualname__ = name

    def __call__(self, *args: Any, **values: Any) -> Any:
        return _real(self)(*args, **values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(self), name)

    def __instancecheck__(self, one: object) -> bool:
        return isinstance(one, _real(self))


def _real(later: _Later) -> Any:
    return getattr(_loaded(later._waiting), later.__name__)  # noqa: SLF001 - what it stands for has that name, too


def _cleaning(waiting: ModuleType) -> Any:
    """``inspect.cleandoc``, which click has look at the help of each option: of one line, there is nothing to it."""
    clean = _Later(waiting, "cleandoc")

    def cleandoc(doc: str) -> Any:
        return clean(doc) if "\n" in doc else doc.expandtabs().lstrip()

    return cleandoc


def _signing(waiting: ModuleType) -> Any:
    """``inspect.signature``, of which dataclasses makes a docstring for each class that has none, and of whose result
    it takes the text alone.  (Raising ValueError would do, but for Debian 12's Python 3.11.2, which lets it pass.)"""
    sign = _Later(waiting, "signature")

    def signature(of: Any, **options: Any) -> Any:
        if sys._getframe(1).f_globals.get("__name__") == "dataclasses":  # noqa: SLF001 - nothing else says who asks
            return ""
        return sign(of, **options)

    return signature
