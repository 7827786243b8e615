"""``trustkit admin registry``: what images have to stay, and what can go."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trustkit.cli import output
from trustkit.cli.admin_service import Service, format_option, now, pass_service, show
from trustkit.cli.kek_options import kek_options, kek_source
from trustkit.core.names import Host, Repository
from trustkit.errors import NotFound, NotTrusted, TrustkitError, UsageError

if TYPE_CHECKING:
    from trustkit.core.ports.service import Store
    from trustkit.core.uses import Use
    from trustkit.gateway.backend import Backend
    from trustkit.gateway.collect import Collected, Rules
    from trustkit.gateway.embedded import EmbeddedRegistry
    from trustkit.gateway.uses import Uses
    from trustkit.server.kek import KekSource
    from trustkit.server.settings import Upstream

HOUR = 3600
REGISTRY = "registry"


@click.group("registry")
def registry() -> None:
    """Images that signatures need, and garbage."""


@dataclass(frozen=True, slots=True)
class _Behind:
    """Which registry has the images; ``upstream`` is None for the service's own."""

    upstream: Upstream | None
    issuer: Host | None
    kek: KekSource

    @asynccontextmanager
    async def open(self, service: Service, store: Store) -> AsyncIterator[Backend]:
        if self.upstream is None:
            yield _embedded(service)
            return
        from trustkit.server.upstream import open_for_upkeep

        kek = self.kek.of(service.data_dir)
        async with AsyncExitStack() as stack:
            yield await open_for_upkeep(stack, self.upstream, store, kek, issuer=self.issuer, clock=now)


@registry.command("in-use")
@click.argument("names", metavar="[REPOSITORY...]", nargs=-1)
@click.option("--upstream", metavar="URL", help="The registry behind the service; without it, the service's own.")
@click.option("--upstream-username", metavar="NAME", help="Who to be there.")
@click.option(
    "--upstream-password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With its password.",
)
@click.option(
    "--upstream-service", metavar="NAME", help="It takes the service's tokens, with this as their audience."
)
@click.option("--public-name", metavar="HOST[:PORT]", help="With --upstream-service: the issuer that it knows.")
@kek_options
@click.option(
    "--format",
    "layout",
    type=click.Choice(["digests", "table", "json"]),
    default="digests",
    show_default=True,
    help="How to print.",
)
@pass_service
def in_use(
    service: Service,
    names: tuple[str, ...],
    upstream: str | None,
    upstream_username: str | None,
    upstream_password_file: Path | None,
    upstream_service: str | None,
    public_name: str | None,
    kek_file: Path | None,
    kek_uri: str | None,
    kek_pin_file: Path | None,
    layout: str,
) -> None:
    """List the manifests that are signed or superseded, and everything below them.

    Of all repositories, or of each REPOSITORY. A registry's own garbage collection must leave them alone.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit registry in-use app
    """
    from trustkit.server.settings import Upstream

    behind = _Behind(
        Upstream.of(upstream, upstream_username, upstream_password_file, upstream_service),
        Host.parse(public_name) if public_name else None,
        kek_source(kek_file, kek_uri, kek_pin_file),
    )
    if upstream_service and not public_name:
        raise UsageError("--upstream-service needs --public-name.", hint="Give the issuer that the upstream knows.")
    found = service.run(lambda store: _found(service, store, behind, [Repository.parse(name) for name in names]))
    if layout == "digests":
        for repository, digest in ((row["repository"], row["digest"]) for row in found):
            output.data(f"{repository}@{digest}")
        return
    show(layout, ("repository", "digest", "why"), found)


@registry.command("gc")
@click.argument("names", metavar="[REPOSITORY...]", nargs=-1)
@click.option("--untagged", is_flag=True, help="Manifests, too, that have no tag and that nothing needs.")
@click.option(
    "--grace",
    metavar="HOURS",
    type=click.IntRange(1, 24 * 365),
    default=24,
    show_default=True,
    help="What was pushed or asked for since stays.",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would be.")
@format_option
@pass_service
@click.pass_context
def gc(
    click_context: click.Context,
    service: Service,
    names: tuple[str, ...],
    grace: int,
    layout: str,
    *,
    untagged: bool,
    dry_run: bool,
) -> None:
    """Remove what nothing needs from the images that the service keeps.

    Blobs that no manifest lists, and uploads that were given up. Everything that is tagged, signed or superseded
    stays, with all below it and its referrers. The service may run meanwhile. Of all repositories, or of each
    REPOSITORY.

    \b
    Example:
      trustkit admin --data-dir /var/lib/trustkit registry gc --dry-run
    """
    from trustkit.cli.status import FAILED

    before = time.time() - grace * HOUR
    chosen = [Repository.parse(name) for name in names]
    rows, failed = service.run(
        lambda store: _collect(service, store, chosen, before=before, untagged=untagged, dry_run=dry_run)
    )
    show(layout, ("repository", "manifests", "blobs", "uploads", "bytes"), rows)
    if dry_run:
        output.note("Nothing was removed: --dry-run.")
    for repository, reason in failed.items():
        output.note(f"trustkit: {repository}: left alone: {reason}")
    if failed:
        click_context.exit(FAILED)


async def _found(service: Service, store: Store, behind: _Behind, chosen: list[Repository]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with behind.open(service, store) as backend:
        uses = _uses(backend, store)
        for repository in chosen or await _with_collections(store):
            found = await uses.of(repository)
            rows += [_row(repository, use) for use in sorted(found.values(), key=lambda use: use.digest)]
    return rows


def _row(repository: Repository, use: Use) -> dict[str, Any]:
    until = use.until.isoformat(timespec="seconds") if use.until else None
    more = {"tag": str(use.tag), "until": until, "root": str(use.root)}
    return {"repository": str(repository), "digest": str(use.digest), "why": str(use), **more}


async def _collect(
    service: Service, store: Store, chosen: list[Repository], *, before: float, untagged: bool, dry_run: bool
) -> tuple[list[dict[str, object]], dict[Repository, TrustkitError]]:
    from trustkit.gateway.collect import Rules

    backend = _embedded(service)
    uses, rows, failed = _uses(backend, store), [], dict[Repository, TrustkitError]()
    for repository in chosen or await backend.repositories():
        try:
            needed = await uses.of(repository)
            done = _one(backend, repository, Rules(needed.keys(), before, untagged=untagged, dry_run=dry_run))
        except (NotTrusted, NotFound) as error:
            failed[repository] = error
            continue
        rows.append(
            {
                "repository": str(repository),
                "manifests": len(done.manifests),
                "blobs": len(done.blobs),
                "uploads": done.uploads,
                "bytes": done.bytes,
            }
        )
    return rows, failed


def _one(backend: EmbeddedRegistry, repository: Repository, rules: Rules) -> Collected:
    return backend.layout(repository).collect(rules)


def _uses(backend: Backend, store: Store) -> Uses:
    from trustkit.authority.views import Views
    from trustkit.gateway.reach import Reach
    from trustkit.gateway.uses import Uses

    return Uses(Reach(backend, keep=backend.keep_seconds), standing=Views(store, clock=now).standing, now=now)


def _embedded(service: Service) -> EmbeddedRegistry:
    from trustkit.gateway.embedded import EmbeddedRegistry

    folder = service.data_dir / REGISTRY
    if not folder.is_dir():
        raise NotFound(
            f"The service in {service.data_dir} keeps no images itself.",
            hint="For a registry behind it, give --upstream URL to: trustkit admin registry in-use",
        )
    return EmbeddedRegistry(folder)


async def _with_collections(store: Store) -> list[Repository]:
    async with store.read() as tx:
        records = await tx.collections.list()
    return [record.gun.repository for record in records if record.closed is None]
