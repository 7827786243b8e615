"""``trustkit migrate``: collections come from another trust server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trustkit.cli.context import Context
from trustkit.cli.options import format_option, passphrase_options, trust_dir_option
from trustkit.cli.output import data_json, note
from trustkit.core.names import Gun
from trustkit.core.patterns import GunPattern
from trustkit.errors import InvalidSetting, NotFound, TrustkitError

if TYPE_CHECKING:
    from trustkit.cli.migrate_report import Row
    from trustkit.client.migrate import Migration
    from trustkit.client.migrate_former import FormerState
    from trustkit.core.migration import MigrationPlan
    from trustkit.core.ports.migrating import FormerServer


@click.group("migrate")
def command() -> None:
    """Bring collections from another trust server."""


@command.command("from-notary")
@click.option("--server", metavar="URL", help="The old server: https://HOST[:PORT][/PATH].")
@click.option(
    "--dump",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="In the place of it a plain dump of its database: of PostgreSQL, MySQL or MariaDB.",
)
@click.option(
    "--gun", "patterns", metavar="PATTERN", multiple=True, help="A GUN, HOST/* or HOST/PREFIX/*; repeatable."
)
@click.option(
    "--gun-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="GUNs, one a line.",
)
@click.option("--root-key", "root_keys", metavar="ID", multiple=True, help="A root key to accept there; repeatable.")
@click.option("--dry-run", is_flag=True, help="Show what would come along and what not; change nothing.")
@click.option("--drop-rest", is_flag=True, help="Leave roles behind that the service would refuse.")
@click.option("--without-old-roots", is_flag=True, help="Go on although the old server lacks the oldest roots.")
@click.option("--accept-expired", is_flag=True, help="Take a state whose timestamp or snapshot has expired.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask on a terminal.")
@format_option
@trust_dir_option
@passphrase_options
@click.pass_context
def from_notary(
    click_context: click.Context,
    server: str | None,
    dump: Path | None,
    patterns: tuple[str, ...],
    gun_file: Path | None,
    root_keys: tuple[str, ...],
    output: str,
    trust_dir: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    *,
    dry_run: bool,
    drop_rest: bool,
    without_old_roots: bool,
    accept_expired: bool,
    yes: bool,
) -> None:
    """Bring collections of Docker Content Trust from a notary-server to the service that their names lead to.

    They stay in Docker's format, with their tags, signers, keys and roots, so docker and notary go on with them. The
    next root of each, signed with its root key, hands snapshot and timestamp over to the service. Make the old
    server read-only first. Takes the root key, AcrPush and AcrImageSigner at the service, and its operator's consent:
    trustkit admin allow-migration GUN. Cut short, it is run again.

    \b
    Example:
      trustkit migrate from-notary --server https://notary.example.com --gun 'old.example.com/*' --dry-run
    """
    from trustkit.cli.migrate_report import as_json, failed, show
    from trustkit.cli.migrating import former_server, migrating
    from trustkit.cli.publishing import docker_store
    from trustkit.client.migrate_consents import Consents

    ctx: Context = click_context.obj
    passphrases = ctx.passphrases(passphrase_file, passphrase_fd)
    keys = docker_store(passphrases, ctx.key_store(passphrases=passphrases), trust_dir)
    former = former_server(ctx, server, dump)
    migrate = migrating(ctx, former, keys, trust_dir)
    consents = Consents(lacking=without_old_roots, rest=drop_rest, stale=accept_expired)
    ask = ctx.ask if ctx.interactive and not yes else None
    agree = _agreeing(ask, quiet=output == "json")

    def each(gun: Gun) -> Migration:
        if dry_run:
            return migrate.plan(gun, root_keys)
        return migrate.run(gun, root_keys, consents=consents, agree=agree)

    rows = list(_done(_chosen(former, patterns, gun_file), each, show if output == "table" else lambda _: None))
    if output == "json":
        data_json(as_json(former.name, rows))
    click_context.exit(failed(rows))


def _chosen(former: FormerServer, patterns: tuple[str, ...], gun_file: Path | None) -> list[Gun]:
    """The collections that are meant, each once, in the order given; all of the server where none is."""
    parsed, found = [GunPattern.parse(text) for text in patterns], _listed(gun_file) if gun_file else []
    everything = not parsed and gun_file is None
    there = former.guns() if everything or not all(pattern.exact for pattern in parsed) else ()
    if everything and not there:
        raise NotFound(f"{former.name} has no collections.")
    for pattern in parsed:
        fits = [Gun.parse(str(pattern))] if pattern.exact else [gun for gun in there if pattern.matches(gun)]
        if not fits:
            raise NotFound(f"{former.name} has no collections of {pattern}.")
        found += fits
    return list(dict.fromkeys(there if everything else found))


def _listed(path: Path) -> list[Gun]:
    """Raises InvalidSetting for a line that is no GUN."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{path} can't be read as a list of GUNs.") from error
    for number, line in enumerate(lines, 1):
        if (text := line.strip()) and not text.startswith("#"):
            try:
                found.append(Gun.parse(text))
            except TrustkitError as error:
                raise InvalidSetting(f"{path}, line {number}: {error.message}", hint=error.hint) from error
    if not found:
        raise InvalidSetting(f"{path} names no collection.", hint="Leave it out to take all that the old server has.")
    return found


def _done(guns: list[Gun], act: Callable[[Gun], Migration], show: Callable[[Row], None]) -> Iterator[Row]:
    """What became of each; who stops it by hand is told what is left."""
    from trustkit.cli.migrate_report import Row

    for position, gun in enumerate(guns):
        try:
            row = Row.of(act(gun))
        except TrustkitError as error:
            row = Row(str(gun), "failed", error=error)
        except (KeyboardInterrupt, click.Abort):
            for left in guns[position:]:
                show(row := Row(str(left), "left"))
                yield row
            return
        show(row)
        yield row


def _agreeing(ask: Callable[[str], bool] | None, *, quiet: bool) -> Callable[[MigrationPlan, FormerState], None]:
    from trustkit.cli.migrate_report import show_plan

    def agree(plan: MigrationPlan, former: FormerState) -> None:
        if not quiet:
            show_plan(plan, former, say=note)
        if ask is not None and not ask(f"The keys at {former.server} count no more after that. Migrate {plan.gun}"):
            raise click.Abort

    return agree
