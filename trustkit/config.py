"""Settings from flags, environment and files; each value knows where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import platformdirs

from trustkit.errors import InvalidSetting

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A value with its origin, such as ``--home`` or ``TRUSTKIT_HOME``."""

    value: T
    origin: str


def home_folder(flag: str | None, environ: Mapping[str, str]) -> Setting[Path]:
    """TRUSTKIT_HOME: the flag, the environment variable, or the user's data folder.

    Raises:
        InvalidSetting: an empty or relative-to-nowhere value.
    """
    for value, origin in ((flag, "--home"), (environ.get("TRUSTKIT_HOME"), "TRUSTKIT_HOME")):
        if value is not None:
            if not value.strip():
                raise InvalidSetting(f"{origin} is empty.", hint="Name a folder, or leave it out.")
            return Setting(Path(value).expanduser().absolute(), origin)
    return Setting(Path(platformdirs.user_data_dir("trustkit", appauthor=False)), "default")
