"""Exit statuses: one row a family of errors.  The first row that an error belongs to counts."""

from __future__ import annotations

from trustkit.errors import CouldNotCheck, KeyProblem, NotAllowed, NotTrusted, TrustkitError, UsageError

DONE = 0
FAILED = 1

EXIT_STATUS: tuple[tuple[type[TrustkitError], int], ...] = (
    (CouldNotCheck, 4),
    (NotTrusted, 3),
    (NotAllowed, 5),
    (KeyProblem, 6),
    (UsageError, 2),
    (TrustkitError, FAILED),
)


def exit_status(error: TrustkitError) -> int:
    """The exit status of ``trustkit`` for this error."""
    return next(status for family, status in EXIT_STATUS if isinstance(error, family))
