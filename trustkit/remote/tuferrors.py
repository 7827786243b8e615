"""What python-tuf's updater raises, as ours (TRUST 6)."""

from __future__ import annotations

from typing import NoReturn

from tuf.api.exceptions import BadVersionNumberError, DownloadError, RepositoryError, UnsignedMetadataError

from trustkit.errors import Garbage, RolledBack, SignatureInvalid, WrongRoot

REPLACED = (
    "Its Owner may have reset the collection, or somebody else signs here. Ask its publisher over another channel: "
    "if the new root key is theirs, trustkit pin add GUN --root-key ID --replace."
)


def raise_ours(error: RepositoryError | DownloadError, last: str) -> NoReturn:
    """Raises what it means; ``last`` is the file that was asked for last, empty before the first."""
    if isinstance(error, BadVersionNumberError):
        raise RolledBack(
            f"{last} has another version than expected: {error}.",
            hint="An older state is being served; tell its publisher and the service's operator.",
        ) from error
    if isinstance(error, UnsignedMetadataError):
        if not last or last.endswith("root.json"):
            raise WrongRoot(
                f"{last or 'The root'} is not signed by the root keys before it: {error}.",
                hint=REPLACED,
            ) from error
        raise SignatureInvalid(f"{last} is not signed as its root asks: {error}.") from error
    raise Garbage(f"{last or 'The root'} can't be used: {error}.") from error
