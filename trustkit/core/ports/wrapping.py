"""What the key-encryption key needs from the device that wraps it, and from the folder that it lies in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class KeyWrapper(Protocol):
    """A key on a token or in a key service that wraps 32 bytes, and unwraps what it wrapped.

    ``uri`` is its one spelling.  Each method may wait for a device or a network.

    Raises, each of them:
        KeyUnavailable: no such device or service, or it refuses.
        KeyMissing, KeyUnsupported: no such key there; one that can't wrap.
        WrongPassphrase, NoPassphrase: the PIN.
        InvalidSetting: what reaches it isn't installed.  UsageError: several tokens or keys fit.
    """

    @property
    def uri(self) -> str: ...

    def same_place(self, uri: str) -> bool:
        """Whether another URI means the same key, however this machine reaches it; no for what is no URI."""
        ...

    def wrap(self, secret: bytes, context: Mapping[str, str]) -> tuple[str, bytes]:
        """Wraps; how, in one word that ``unwrap`` understands, and what came of it.

        Args:
            context: facts that ``unwrap`` must be told again, bound to the result where the device can do that.
        """
        ...

    def unwrap(self, how: str, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The secret.

        Raises:
            StateError: it was changed, or wrapped by another key or with another context.
        """
        ...

    def close(self) -> None:
        """Lets go of the device and forgets its PIN; a later call reaches it anew."""
        ...


class KekFiles(Protocol):
    """Where the key-encryption key lies: in a plain file, in a wrapped one, or in both for the moment of a change.

    Each write is whole and fsynced, 0600, and replaces nothing; what is written can be read when it returns.  What a
    killed process left half done is removed by the next one that holds the lock.

    Raises, each of them:
        StateError: a file can't be read or written, can be read by others, or is in the way.
    """

    @property
    def plain(self) -> str:
        """Where the plain one lies, for errors."""
        ...

    @property
    def wrapped(self) -> str:
        """Where the wrapped one lies, for errors."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Nobody else changes which of them are there."""
        ...

    def has_plain(self) -> bool:
        """Whether there is a plain file, whatever it holds."""
        ...

    def read_plain(self) -> bytes | None:
        """The 32 bytes; None where there is no file."""
        ...

    def read_keys(self) -> tuple[bytes, ...]:
        """As ``read_plain``, with what is in the file after it while the key is being changed; empty for no file."""
        ...

    def read_again(self) -> tuple[bytes, ...]:
        """As ``read_keys``, where the file has changed since it was last read here; else empty."""
        ...

    def replace_plain(self, keys: Sequence[bytes]) -> None:
        """Puts these keys, the current one first, into the file that is there, in one step."""
        ...

    def make_plain(self) -> bytes:
        """The 32 bytes of the file, which is made first where there is none."""
        ...

    def write_plain(self, kek: bytes) -> None:
        """Puts the 32 bytes into the file."""
        ...

    def read_wrapped(self) -> bytes | None:
        """What the wrapped file says; None where there is none."""
        ...

    def write_wrapped(self, data: bytes) -> None:
        """Puts this into the wrapped file."""
        ...

    def remove_plain(self) -> None:
        """Removes the plain file for good."""
        ...

    def remove_wrapped(self) -> None:
        """Removes the wrapped file for good."""
        ...
