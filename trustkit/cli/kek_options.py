"""The options that say where a service's key-encryption key is, and what they come to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trustkit.config import kek_uri, online_key_uri
from trustkit.errors import InvalidSetting, UsageError

if TYPE_CHECKING:
    from trustkit.core.ports.wrapping import KeyWrapper
    from trustkit.keys.passphrase import PassphraseSource
    from trustkit.keys.tokenforge import TokenForge
    from trustkit.server.kek import KekSource

Command = TypeVar("Command", bound=Callable[..., Any])

_file = click.option(
    "--kek-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The key-encryption key, in a plain file. [DATA_DIR/kek]",
)
_uri = click.option("--kek-uri", metavar="URI", help="The key that wraps it, on a token or in a key service.")
_pin = click.option(
    "--kek-pin-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the PIN of the token.",
)


_online = click.option("--online-key-uri", metavar="URI", help="The token on which online keys are made, and stay.")
_online_pin = click.option(
    "--online-key-pin-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the PIN of the tokens that online keys are on.",
)


def online_key_options(command: Command) -> Command:
    """--online-key-uri and --online-key-pin-file."""
    return _online(_online_pin(command))


def online_forge(uri: str | None, pin_file: Path | None) -> TokenForge | None:
    """The device on which online keys are made, if they are to be on one; it isn't asked yet.

    Raises:
        InvalidSetting: a PIN for none, or a key service.  UsageError: no such URI.
    """
    said = online_key_uri(uri, os.environ).value
    if not said:
        if pin_file is not None:
            raise InvalidSetting("--online-key-pin-file needs --online-key-uri.", hint="Leave it out, or say which.")
        return None
    from trustkit.keys.tokenforge import token_forge

    return token_forge(said, os.environ, pins(pin_file, "--online-key-pin-file"))


def kek_options(command: Command) -> Command:
    """--kek-file, --kek-uri and --kek-pin-file."""
    return _file(_uri(_pin(command)))


def kek_source(file: Path | None, uri: str | None, pin_file: Path | None) -> KekSource:
    """Where the key-encryption key comes from; no device is asked yet.

    Raises:
        InvalidSetting: two places, a PIN for none, or a key service that can't wrap.  UsageError: no such URI.
    """
    from trustkit.server.kek import KekSource

    said = kek_uri(uri, os.environ, file=file).value
    if pin_file is not None and not said:
        raise InvalidSetting(
            "--kek-pin-file needs --kek-uri, or TRUSTKIT_KEK_URI.", hint="Leave it out, or say which."
        )
    return KekSource(file, key_wrapper(said, pin_file) if said else None)


def key_wrapper(uri: str, pin_file: Path | None) -> KeyWrapper:
    """What wraps by the key at this URI, with PINs from the usual sources; raises as ``kek_source``."""
    from trustkit.keys.wrapping import key_wrapper as made

    return made(uri, os.environ, pins(pin_file, "--kek-pin-file"))


def pins(file: Path | None, option: str, *, attended: bool = True) -> PassphraseSource:
    """Where PINs come from: this option's file, the environment, and who is at the terminal, if one may be asked."""
    from trustkit.keys.passphrase import PassphraseSource

    interactive = attended and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    return PassphraseSource(environ=os.environ, file=file, interactive=interactive, option=option)


def required_wrapper(uri: str | None, pin_file: Path | None) -> KeyWrapper:
    """``key_wrapper`` of the option or the environment; raises UsageError where neither names a URI."""
    said = kek_uri(uri, os.environ, file=None).value
    if not said:
        raise UsageError("Which key wraps it?", hint="Give --kek-uri URI, or set TRUSTKIT_KEK_URI.")
    return key_wrapper(said, pin_file)
