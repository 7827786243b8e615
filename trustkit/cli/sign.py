"""``trustkit sign``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click

from trustkit.cli.app import report
from trustkit.cli.context import Context
from trustkit.cli.options import passphrase_options, root_key_option, trust_dir_option
from trustkit.cli.output import data, note
from trustkit.cli.publishing import signing_with
from trustkit.cli.reports import Report, report_option, reporting
from trustkit.cli.status import DONE, exit_status
from trustkit.client.outcome import Outcome
from trustkit.client.resolve import Resolved, Unresolved
from trustkit.client.sign import Sign, SignedTag
from trustkit.core.evidence import evidence
from trustkit.core.names import Gun, ImageRef
from trustkit.core.reflists import MAX_LIST, MAX_METADATA, RefList, read_list, read_metadata
from trustkit.errors import InvalidReference, StateError, TrustkitError, UsageError

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True)


@click.command("sign")
@click.argument("refs", metavar="[REF]...", nargs=-1)
@click.option(
    "--file", "-f", "files", metavar="FILE", type=_FILE, multiple=True, help="Sign what FILE lists, too. Repeatable."
)
@click.option(
    "--from-metadata",
    "builds",
    metavar="FILE",
    type=_FILE,
    multiple=True,
    help="Sign what a build made: FILE is from docker buildx build --metadata-file, or bake. Repeatable.",
)
@click.option("--recursive", is_flag=True, help="Let each manifest below an index be trusted by digest, too.")
@click.option("--forget-previous", is_flag=True, help="Let nobody pull by digest what these tags were before.")
@report_option
@root_key_option
@trust_dir_option
@passphrase_options
@click.pass_context
def command(
    click_context: click.Context,
    refs: tuple[str, ...],
    files: tuple[str, ...],
    builds: tuple[str, ...],
    report_file: Path | None,
    root_key: str | None,
    trust_dir: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    recursive: bool,
    forget_previous: bool,
) -> None:
    """Sign what each REF points at, and publish it.

    REF is HOST[:PORT]/repository:TAG, or the same with @sha256:... to sign that digest whatever the tag points at.
    Any manifest can be signed: images, multi-platform indexes, Helm charts and other OCI artifacts. The first sign
    in a repository makes its collection, with a repository key of its own. Prints NAME:TAG@sha256:... for each.

    A list has a REF on each line and # before comments; FILE may be - for stdin. All references are resolved before
    the first key is touched; where one fails nothing is signed. Each repository is published once.

    \b
    Examples:
      trustkit sign registry.example.com/app:v1
      trustkit sign registry.example.com/app:v1 registry.example.com/app:latest
      trustkit sign --file tags.txt --report signed.json
      trustkit sign --from-metadata metadata.json
    """
    ctx: Context = click_context.obj
    if [*files, *builds, *(["-"] if passphrase_fd == 0 else [])].count("-") > 1:
        raise UsageError("Only one of the lists, or the passphrase, can come from stdin.")
    with reporting("sign", report_file, ctx.now) as made:
        named = _named(refs, files, builds)
        signing = signing_with(ctx, passphrase_file, passphrase_fd, trust_dir=trust_dir)
        if found := _resolved(signing, named, made, recursive=recursive):
            _publish(signing, found, root_key, made, forget=forget_previous)
            made.status = DONE
    click_context.exit(made.status)


def _resolved(signing: Sign, named: RefList, made: Report, *, recursive: bool) -> list[Resolved]:
    """What everything that is named points at; nothing, with all errors told, where one of them can't be signed."""
    lines = [made.add(str(ref)) for ref in named.refs]
    if named.wrong:
        made.errors.extend(named.wrong)
        made.status = _told([("", error) for error in named.wrong])
        return []
    outcomes = signing.resolve(named.refs, recursive=recursive)
    for line, outcome in zip(lines, outcomes, strict=True):
        if isinstance(outcome, Unresolved):
            line.fail(outcome.error)
        else:
            line.digest = outcome.manifest.digest
    if failed := [(str(outcome.ref), outcome.error) for outcome in outcomes if isinstance(outcome, Unresolved)]:
        made.status = _told(failed)
        return []
    return [outcome for outcome in outcomes if isinstance(outcome, Resolved)]


def _named(refs: Iterable[str], files: Iterable[str], builds: Iterable[str]) -> RefList:
    """Every reference of the arguments, then of the files, and all that is wrong with any of them."""
    total = RefList()
    for part in _parts(refs, files, builds):
        total.refs.extend(part.refs)
        total.wrong.extend(part.wrong)
    return total


def _parts(refs: Iterable[str], files: Iterable[str], builds: Iterable[str]) -> Iterator[RefList]:
    for text in refs:
        try:
            ref = ImageRef.parse(text)
            _ = ref.required_tag
            yield RefList(refs=[ref])
        except InvalidReference as error:
            yield RefList(wrong=[error])
    for file in files:
        yield _read(file, MAX_LIST, read_list)
    for file in builds:
        yield _read(file, MAX_METADATA, read_metadata)


def _read(file: str, limit: int, parse: Callable[[bytes, str], RefList]) -> RefList:
    """A file, or stdin for ``-``, of which no more is read than shows that it is too long."""
    try:
        if file == "-":
            return parse(sys.stdin.buffer.read(limit + 1), "stdin")
        with Path(file).open("rb") as opened:
            return parse(opened.read(limit + 1), file)
    except OSError as error:
        raise StateError(f"{file} can't be read: {(error.strerror or '').lower()}.") from error


def _told(failed: Sequence[tuple[str, TrustkitError]]) -> int:
    """Reports each error with what it is about, once where several share it, and that nothing was signed.

    Returns:
        The exit status of the first.
    """
    told: set[int] = set()
    for subject, error in failed:
        if id(error) not in told:
            report(error, "" if subject in error.message else subject)
            told.add(id(error))
    note("Nothing was signed.")
    return exit_status(failed[0][1])


def _publish(signing: Sign, resolved: list[Resolved], root_key: str | None, made: Report, *, forget: bool) -> None:
    """Publishes, and prints in the order of the arguments what was signed, also where a later repository failed."""
    signed: set[SignedTag] = set()
    became: dict[Gun, Outcome | TrustkitError] = {}
    try:
        for published in signing.publish(resolved, root_key=root_key, forget=forget, told=became.__setitem__):
            signed.update(published)
    except TrustkitError as error:
        became[next(each.ref.gun for each in resolved if each.ref.gun not in became)] = error
        raise
    finally:
        _fill(made, resolved, became)
        tags = dict.fromkeys(SignedTag(r.ref.gun, r.ref.required_tag, r.manifest.digest) for r in resolved)
        for tag in tags:
            if tag in signed:
                data(str(tag))


def _fill(made: Report, resolved: list[Resolved], became: dict[Gun, Outcome | TrustkitError]) -> None:
    """Puts into the report what became of each reference; of a repository that isn't in ``became``, nothing did."""
    for line, each in zip(made.lines, resolved, strict=True):
        outcome = became.get(each.ref.gun)
        if isinstance(outcome, TrustkitError):
            line.fail(outcome)
        elif outcome is not None and outcome.proposal is not None:
            line.outcome = "proposed"
        elif outcome is not None:
            line.outcome = "signed"
            target = outcome.view.targets.get(each.ref.required_tag)
            if target is not None and target.digest == each.manifest.digest:
                line.evidence = evidence(outcome.view, target)
