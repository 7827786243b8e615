"""Passphrases in the system keyring: an entry of the service ``trustkit`` for each key's whole id.

The ``keyring`` package is an extra, and its backends are plugins: this is the one place where what they raise becomes
ours.  None of what a backend says gets into an error, since it may quote the secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from trustkit.errors import InvalidSetting, NoPassphrase, NotFound

SERVICE = "trustkit"
KEYRING_SWITCH = "TRUSTKIT_KEYRING"


def switched_on(environ: Mapping[str, str]) -> bool:
    """Whether ``TRUSTKIT_KEYRING`` says to look there; raises InvalidSetting for anything but 1 or 0."""
    value = environ.get(KEYRING_SWITCH, "").lower()
    if value not in ("", "0", "1", "false", "true"):
        raise InvalidSetting(f"{KEYRING_SWITCH} is 1 or 0, nothing else.")
    return value in ("1", "true")


def ask_keyring(key_id: str) -> str | None:
    """What the system keyring holds for a key; None for nothing.

    Raises:
        NoPassphrase: it is locked, and nobody unlocked it.
        InvalidSetting: the keyring can't be used.
    """
    keyring = _package()
    try:
        found: str | None = keyring.get_password(SERVICE, key_id)
    except Exception as error:  # backends are plugins, and raise what they like
        raise _unusable(error) from error
    return found


def remember(key_id: str, passphrase: bytes) -> None:
    """Puts a passphrase into the system keyring, in the place of what it held for this key.

    Afterwards the keyring gives it back: that is tried, since some backends take everything and keep nothing.

    Raises:
        InvalidSetting: the keyring can't be used or doesn't keep it, or the passphrase is no text.
        NoPassphrase: it is locked.
    """
    try:
        text = passphrase.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSetting("This passphrase is no UTF-8 text, and a keyring keeps text only.") from error
    keyring = _package()
    try:
        keyring.set_password(SERVICE, key_id, text)
    except Exception as error:
        raise _unusable(error) from error
    if ask_keyring(key_id) != text:
        raise InvalidSetting(
            "The system keyring took the passphrase and doesn't give it back.",
            hint="See which one is used: keyring diagnose",
        )


def forget(key_id: str) -> None:
    """Removes what the system keyring holds for a key; it gives nothing for it afterwards.

    Raises:
        NotFound: it holds nothing for this key.
        InvalidSetting, NoPassphrase: the keyring can't be used; it is locked.
    """
    if ask_keyring(key_id) is None:
        raise NotFound(f"The system keyring holds no passphrase for the key {key_id[:16]}.")
    try:
        _package().delete_password(SERVICE, key_id)
    except Exception as error:
        raise _unusable(error) from error


def _package() -> ModuleType:
    try:
        import keyring
    except ImportError as error:
        raise InvalidSetting(
            "The system keyring is asked for, and the keyring package isn't installed.",
            hint="pip install 'trustkit[keyring]'",
        ) from error
    found: ModuleType = keyring
    return found


def _unusable(error: Exception) -> InvalidSetting | NoPassphrase:
    from keyring.errors import KeyringLocked

    if isinstance(error, KeyringLocked):
        return NoPassphrase(
            "The system keyring is locked, so it gives no passphrase.",
            hint=f"Unlock it, then try again; {KEYRING_SWITCH}=0 leaves it out.",
        )
    return InvalidSetting(
        f"The system keyring can't be used ({type(error).__name__}).",
        hint=f"Unlock it or set one up; {KEYRING_SWITCH}=0 leaves it out.",
    )
