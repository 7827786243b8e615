"""``trustkit key rotate --role snapshot|timestamp|online``: keys that the service holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.output import data, note
from trustkit.cli.publishing import tuf_publisher
from trustkit.core.names import Gun
from trustkit.errors import TrustkitError

ROLES = {"snapshot": ("snapshot",), "timestamp": ("timestamp",), "online": ("snapshot", "timestamp")}
"""What ``--role`` may name of them; ``online`` is both, which alone ends what a thief of them did."""


def rotate_online(
    click_context: click.Context,
    guns: Sequence[Gun],
    role: str,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    yes: bool,
) -> None:
    """Rotates in one repository after the other, a line for each key; a failure keeps no other from its turn.

    Ends the command with the status of the first failure, after all were tried.
    """
    from trustkit.cli.app import report
    from trustkit.cli.status import exit_status
    from trustkit.client.rotate_online import RotateOnline

    ctx: Context = click_context.obj
    store = ctx.key_store(passphrase_file, passphrase_fd)
    rotate = RotateOnline(tuf_publisher(ctx, store), ctx.service, store)
    failed: list[TrustkitError] = []
    for gun in guns:
        try:
            done = rotate(gun, ROLES[role], agree=ctx.agreeing(yes=yes))
        except TrustkitError as error:
            report(error, str(gun) if len(guns) > 1 else "")
            failed.append(error)
            continue
        for name, new in sorted(done.after.items()):
            data(f"{gun}: {name} key {done.before[name][:16]} -> {new}")
    if role == "timestamp" and not failed:
        note("If a key was stolen, change both, --role online: clients that a thief served keep the old snapshot.")
    if failed:
        click_context.exit(exit_status(failed[0]))
