"""Where a pin in format ``docker`` leads once its collection was converted to ``tuf`` (TRUST 5.4)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from trustkit.core.formats.docker.conversion import PinnedKeys, follows, pinned_keys, signers_of
from trustkit.core.names import Gun
from trustkit.core.pinning import MAX_ROOTS
from trustkit.core.ports.remote import FormerSource, Pin
from trustkit.errors import (
    CollectionGone,
    Converted,
    CouldNotCheck,
    FormatDowngraded,
    NoCollection,
    NotTrusted,
    Rejected,
    WrongCollection,
    WrongGun,
    WrongRoot,
)


class Follow:
    """The use case: only the very key of a pinned root certificate leads on, and nobody's word does.

    Args:
        source: where the roots of both formats are.
    """

    def __init__(self, source: FormerSource) -> None:
        self._source = source

    def __call__(self, gun: Gun, pin: Pin, told: NotTrusted) -> Pin:
        """The pin of the lowest root version in format ``tuf`` that enough of the pinned keys have signed.

        Args:
            told: why the pin is of no use any more: ``Converted`` where the collection's own root says so.

        Raises:
            Converted: the collection was converted, and the pin doesn't lead there.
            CollectionGone: it was, or was seen here in format ``tuf``, and the service doesn't show it.
            WrongCollection, WrongRoot: what it shows is another's, or no root that can be used.
            NotTrusted: ``told`` itself, where nothing that is signed says that there was a conversion.
            NotAllowed, CouldNotCheck.
        """
        roots = self._roots(gun, told)
        first = next(roots)
        pinned = pinned_keys(pin, self._source.docker_roots(gun, pin))
        if follows(pinned, first, gun):
            return Pin(str(gun), root=first)
        for data in roots:
            if follows(pinned, data, gun):
                return Pin(str(gun), root=data)
        if not isinstance(told, Converted):
            raise told
        raise _stays(gun, pin, pinned, first)

    def _roots(self, gun: Gun, told: NotTrusted) -> Iterator[bytes]:
        try:
            yield from islice(self._source.tuf_roots(gun), MAX_ROOTS)
        except NoCollection as error:
            if not isinstance(told, Converted | FormatDowngraded):
                raise told from error
            why = "its publisher has converted it" if isinstance(told, Converted) else "it was verified here"
            raise CollectionGone(
                f"{gun} has no collection in format tuf, says the service, but {why}.",
                hint="Ask the service's operator; what Docker's format says of it counts no more.",
            ) from error
        except CouldNotCheck as error:
            error.message = error.message if str(gun) in error.message else f"{gun}, in format tuf: {error.message}"
            raise


def _stays(gun: Gun, pin: Pin, pinned: PinnedKeys, root: bytes) -> NotTrusted:
    """Why a pin doesn't lead to this root, and what to do."""
    try:
        signed = signers_of(root, gun)
    except WrongGun as error:
        return WrongCollection(f"{gun} was converted to format tuf, and what is served is another's: {error.message}")
    except Rejected as error:
        return WrongRoot(f"{gun} was converted to format tuf, and its root can't be used: {error.message}")
    if pin.authorities is not None:
        why = "a pin by authority doesn't follow by itself, as root keys of format tuf have no certificates"
    elif pinned.threshold > 1:
        why = f"fewer than {pinned.threshold} of the keys of its pinned root certificates have signed the new root"
    else:
        why = "the key of its pinned root certificate has not signed the new root: it was rotated before, or "
        why += "somebody else signs there"
    keys = " ".join(f"--root-key {key_id}" for key_id in signed)
    return Converted(
        f"{gun} was converted to format tuf, and {why}.",
        hint="Compare the new root's keys with what its publisher says over another channel; if they are the same: "
        f"trustkit pin add {gun} {keys} --replace",
        format="tuf",
        root_keys=list(signed),
    )
