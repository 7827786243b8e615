"""What a command ended with that is neither our error nor a bug: a part that isn't installed, output that is full."""

from __future__ import annotations

import sys
from traceback import walk_tb

from trustkit.errors import InvalidSetting, StateError, TrustkitError

_SERVER = (
    "aiohttp", "alembic", "argon2", "httptools", "jwt", "multipart", "prometheus_client", "python_multipart",
    "sqlalchemy", "uvicorn", "uvloop",
)  # fmt: skip
_EXTRAS: dict[str, str] = {**dict.fromkeys(_SERVER, "server"), "psycopg": "postgresql"}
"""What is imported -> the extra of ours that brings it.  Extras of keys and of build files tell of it themselves."""


def as_ours(error: Exception) -> TrustkitError | None:
    """The error to show in place of a foreign one; None where that is a bug."""
    if isinstance(error, ModuleNotFoundError):
        return _missing(error)
    if isinstance(error, OSError) and _while_writing(error):
        sys.stdout = None  # or Python tries again at its end, and has a status of its own
        return StateError(
            f"The output can't be written: {(error.strerror or type(error).__name__).lower()}.",
            hint="What the command was to do is done or not as ever; only its words are lost.",
        )
    return None


def _missing(error: ModuleNotFoundError) -> TrustkitError | None:
    package = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(package)
    if extra is None:
        return None
    return InvalidSetting(
        f"This command needs the extra '{extra}', which isn't installed (the package {package}).",
        hint=f"pip install 'trustkit[{extra}]'",
    )


def _while_writing(error: BaseException) -> bool:
    """Whether it is what the command said that couldn't be written: everything that it says goes through click."""
    frames = list(walk_tb(error.__traceback__))
    return bool(frames) and frames[-1][0].f_globals.get("__name__") == "click.utils"
