"""What the service's database keeps, as use cases and adapters hand it to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One version of one role's metadata file, exactly as it is served.

    Attributes:
        series: rises where the versions of the role begin anew, which happens in format ``docker`` only; None, for a
            file to be added, goes on in that of the file before.
        stored: when it was added; None before.
    """

    role: str
    version: int
    data: bytes
    expires: datetime
    series: int | None = field(default=None, compare=False)
    stored: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class SealedKey:
    """An online key: public half as TUF JSON, private half encrypted under the key-encryption key (TRUST 8.5)."""

    role: str
    key_id: str
    public: Mapping[str, object]
    sealed: bytes
