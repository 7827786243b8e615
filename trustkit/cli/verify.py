"""``trustkit verify``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click

from trustkit.cli.app import report
from trustkit.cli.context import Context
from trustkit.cli.options import bundle_options, policy_option
from trustkit.cli.output import data, note
from trustkit.cli.reports import Line, report_option, reporting
from trustkit.cli.status import exit_status
from trustkit.client.enforce import Verdict
from trustkit.client.verify import Trusted
from trustkit.core.names import ImageRef
from trustkit.errors import TrustkitError


@click.command("verify")
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@bundle_options
@policy_option
@report_option
@click.pass_context
def command(
    click_context: click.Context,
    refs: tuple[str, ...],
    bundle: Path | None,
    max_age: str | None,
    policy: str | None,
    report_file: Path | None,
) -> None:
    """Check each REF and print NAME:TAG@sha256:... for the trusted ones.

    REF is HOST[:PORT]/repository:TAG, with or without @sha256:..., or the name with a digest alone. A digest alone is
    trusted if a tag is signed for it now, or if it is listed as a child of a signed index (sign --recursive). The
    status is 0 if every REF is trusted; otherwise it is that of the first one that isn't, in the order given.

    \b
    Examples:
      trustkit verify registry.example.com/app:v1
      trustkit verify registry.example.com/app:v1 registry.example.com/db:v2 --report verified.json
      trustkit verify --bundle app.bundle --max-age 14d registry.example.com/app:v1
    """
    ctx: Context = click_context.obj
    with reporting("verify", report_file, ctx.now) as made:
        lines = [made.add(ref) for ref in refs]
        if bundle is not None or max_age is not None:
            from trustkit.cli.bundle import verifying

            with verifying(ctx, bundle, max_age, policy) as offline:
                made.status = _each(lines, lambda ref, line: told(_behind(line, offline.trusted(ref))))
        else:
            enforce = ctx.enforce(policy)
            made.status = _each(lines, lambda ref, line: _enforced(line, enforce(ref)))
    click_context.exit(made.status)


def _enforced(line: Line, verdict: Verdict) -> None:
    if verdict.error is not None:
        raise verdict.error  # a rule that only detects makes nothing trusted
    line.outcome, line.digest = "allowed", verdict.digest
    if verdict.trusted is not None:
        _behind(line, verdict.trusted)
    told_verdict(verdict)


def _behind(line: Line, trusted: Trusted) -> Trusted:
    line.outcome, line.digest, line.evidence = "trusted", trusted.digest, trusted.evidence
    return trusted


def told(trusted: Trusted) -> None:
    """One line for what is trusted, and for a child one to stderr by which tag it is."""
    data(str(trusted))
    if trusted.is_child:
        note(f"{trusted} was signed with {trusted.gun}:{trusted.by.tag}@{trusted.by.digest}.")


def told_verdict(verdict: Verdict) -> None:
    """One line for what may be used, and a warning to stderr where that isn't because it is signed."""
    if verdict.trusted is not None and verdict.ref.gun == verdict.trusted.gun:
        told(verdict.trusted)
        return
    data(str(verdict.image))
    note(verdict.reason if verdict.trusted is not None else f"WARNING: {verdict.reason}")


def each_reference(
    refs: tuple[str, ...], act: Callable[[ImageRef], None], read: Callable[[str], ImageRef] = ImageRef.parse
) -> int:
    """Does something with each reference, reports each failure, and returns the first one's exit status."""
    return _each([Line(ref) for ref in refs], lambda ref, _: act(ref), read)


def _each(
    lines: Iterable[Line],
    act: Callable[[ImageRef, Line], None],
    read: Callable[[str], ImageRef] = ImageRef.parse,
) -> int:
    """As ``each_reference``; each failure is in its line, too."""
    status = 0
    for line in lines:
        text = line.reference
        try:
            act(read(text), line)
        except TrustkitError as error:
            line.fail(error)
            # A name that a terminal might obey stands in the message already, escaped.
            report(error, text if text.isprintable() and text not in error.message else "")
            status = status or exit_status(error)
    return status
