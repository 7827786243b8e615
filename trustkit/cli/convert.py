"""``trustkit convert``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli.context import Context
from trustkit.cli.options import format_option, passphrase_options, trust_dir_option
from trustkit.cli.output import data_json, note
from trustkit.core.names import Gun
from trustkit.errors import InvalidSetting, UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import Key

    from trustkit.client.convert import Convert
    from trustkit.core.convertplan import ConversionPlan
    from trustkit.keys.passphrase import PassphraseSource
    from trustkit.keys.store import FileKeyStore
    from trustkit.remote.convert import HttpConversions

_DAYS = re.compile(r"([0-9]{1,4})d\Z")
_NOW = ("now", "0", "0d")


def _moment(text: str, now: datetime) -> datetime:
    """A day, which ends when it is over in UTC, a number of days from now, or now; raises InvalidSetting."""
    if text in _NOW:
        return now
    if found := _DAYS.match(text):
        return now + timedelta(days=int(found[1]))
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise InvalidSetting(
            f"{ascii(text)[:40]} says no moment.", hint="Give a day as 2027-03-31, a number of days as 90d, or now."
        ) from error


@click.command("convert")
@click.argument("gun", metavar="GUN")
@click.option("--to", "wanted", type=click.Choice(["tuf"]), help="The format that it gets.")
@click.option(
    "--end-docker", is_flag=True, help="Of a converted one: end what docker still reads, at once, for good."
)
@click.option(
    "--docker-until",
    "until",
    metavar="DATE|Nd",
    help="Until when docker reads what is signed now: a day, a number of days, or now. [90d]",
)
@click.option("--drop-rest", is_flag=True, help="Leave behind what format tuf has no place for; --dry-run names it.")
@click.option("--dry-run", is_flag=True, help="Show what would be kept and what not; change nothing.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask on a terminal.")
@format_option
@trust_dir_option
@passphrase_options
@click.pass_context
def command(
    click_context: click.Context,
    gun: str,
    wanted: str | None,
    until: str | None,
    output: str,
    trust_dir: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    end_docker: bool,
    drop_rest: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Turn the collection of GUN from Docker's format into TUF 1.0, with the same keys.

    Tags, their digests and custom data stay, and so do the signers. What docker reads stays as it is now until the
    final expiry, or until a tag is revoked or signed anew, whichever comes first; docker and notary sign nothing
    under GUN any more. Takes the root key, the repository key and AcrImageSigner. Cut short, it is run again.

    \b
    Examples:
      trustkit convert registry.example.com/app --to tuf --dry-run
      trustkit convert registry.example.com/app --to tuf --docker-until 90d
    """
    ctx: Context = click_context.obj
    if end_docker:
        if wanted or until or trust_dir or drop_rest:
            raise UsageError("--end-docker goes with --dry-run, --yes and --format alone; it converts nothing.")
        end(ctx, Gun.parse(gun), dry_run=dry_run, yes=yes, output=output)
        return
    if wanted is None:
        raise UsageError("What is to be done?", hint="Convert it: --to tuf. Or end what docker reads: --end-docker")
    from trustkit.cli.convert_report import as_json, show

    ends = None if until is None else _moment(until, ctx.now())
    named, passphrases = Gun.parse(gun), ctx.passphrases(passphrase_file, passphrase_fd)
    store = ctx.key_store(passphrases=passphrases)
    convert = converting(ctx, store)
    if dry_run:
        report = convert.plan(named, ends, keys=trust_dir is None)
    else:
        if trust_dir is not None:
            _take_keys(convert, store, passphrases, named, trust_dir)
        ask = ctx.ask if ctx.interactive and not yes else None
        report = convert.run(named, ends, agree=_agreeing(ask, drop_rest=drop_rest, quiet=output == "json"))
    where = _places(store, passphrases, trust_dir)
    if output == "json":
        data_json(as_json(report, where))
    else:
        show(report, where)


def end(ctx: Context, gun: Gun, *, dry_run: bool, yes: bool, output: str) -> None:
    """``--end-docker``."""
    from trustkit.cli.convert_end import agreeing, as_json, show
    from trustkit.client.convert_end import EndDocker

    ending = EndDocker(conversions(ctx), clock=ctx.now, sleep=time.sleep)
    ask = ctx.ask if ctx.interactive and not yes else None
    report = ending.plan(gun) if dry_run else ending.run(gun, agree=agreeing(gun, ask))
    if output == "json":
        data_json(as_json(report))
    else:
        show(report)


def conversions(ctx: Context) -> HttpConversions:
    """The service's side of it."""
    from trustkit.cli.publishing import notary
    from trustkit.remote.convert import HttpConversions

    return HttpConversions(ctx.sessions, notary(ctx))


def converting(ctx: Context, store: FileKeyStore) -> Convert:
    """The use case, wired."""
    from trustkit.client.convert import Convert
    from trustkit.client.convert_signing import ConvertSigning
    from trustkit.client.docker_signing import DockerSigning
    from trustkit.config import growth, lifetimes
    from trustkit.keys.dockerstore import DockerIds

    return Convert(
        conversions(ctx),
        ConvertSigning(store, DockerSigning(DockerIds(store))),
        ctx.trust(only=None),
        ctx.home.pins,
        ctx.source,
        ctx.registry,
        lifetimes=lifetimes(ctx.environ).value,
        growth=growth(ctx.environ).value,
        clock=ctx.now,
        sleep=time.sleep,
        say=note,
    )


def _take_keys(convert: Convert, store: FileKeyStore, passphrases: PassphraseSource, gun: Gun, folder: Path) -> None:
    """Brings those keys of Docker's folder into the home that sign this collection: they go on signing it."""
    from trustkit.keys.dockerimport import DockerImport, Outcome
    from trustkit.keys.subjects import KeySubject

    wanted = convert.key_ids(gun)
    for taken in DockerImport(store, passphrases)(folder, ids=wanted) if wanted else ():
        if taken.error is not None:
            raise taken.error
        if taken.outcome is Outcome.IMPORTED and taken.info is not None:
            note(f"Taken into {store.place} from {folder}: {KeySubject.of(taken.info)} {taken.info.id[:16]}")


def _places(store: FileKeyStore, passphrases: PassphraseSource, folder: Path | None) -> Callable[[Key], str]:
    """Where a key is: in the home, or in Docker's folder."""
    from trustkit.core.formats.docker.keys import from_tuf
    from trustkit.keys.dockerstore import DockerKeyStore

    docker = None if folder is None else DockerKeyStore(folder, passphrases)

    def where(key: Key) -> str:
        if store.find(frozenset({key.keyid})):
            return store.place
        here = docker.find(frozenset({from_tuf(key).canonical_id})) if docker else ()
        return docker.place if docker and here else ""

    return where


def _agreeing(
    ask: Callable[[str], bool] | None, *, drop_rest: bool, quiet: bool
) -> Callable[[ConversionPlan, datetime], None]:
    """Shows what would happen; what is lost has to be agreed to, and on a terminal the conversion has."""
    from trustkit.cli.convert_report import show_plan

    def agree(plan: ConversionPlan, until: datetime) -> None:
        if not quiet:
            show_plan(plan, until, say=note)
        if plan.losses and not drop_rest:
            names = ", ".join(f"{left.what} {left.name}" for left in plan.losses[:5])
            raise UsageError(
                f"Format tuf has no place for {len(plan.losses)} things in {plan.gun}: {names}.",
                hint="Look with --dry-run. To leave them behind: --drop-rest.",
                left=[left.name for left in plan.losses],
            )
        if ask is not None and not ask(f"Docker and notary will sign nothing under {plan.gun} any more. Convert it"):
            raise click.Abort

    return agree
