"""``trustkit bundle``: trust data and manifests in one file, for where there is no network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from trustkit.cli.context import Context
from trustkit.cli.output import data, note
from trustkit.core.names import ImageRef
from trustkit.core.offline import MAX_AGE, evaluate_aged, parse_age
from trustkit.core.rules import DOCKER, TUF
from trustkit.errors import InvalidReference, UsageError

if TYPE_CHECKING:
    from trustkit.client.bundle import CreateBundle
    from trustkit.client.enforce import Enforce
    from trustkit.client.trust import Trust
    from trustkit.client.verify import Trusted
    from trustkit.core.names import Digest, Gun, Tag
    from trustkit.core.policy import Policy
    from trustkit.core.ports.remote import Pin
    from trustkit.core.view import SignedView
    from trustkit.engines.bundle import Bundle
    from trustkit.remote.bundled import Judge
    from trustkit.remote.updater import Fetch


@click.group("bundle")
def command() -> None:
    """Trust data and manifests in one file, to be verified with no network."""


@command.command("create")
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@click.option("-o", "--output", "to", required=True, metavar="FILE", type=click.Path(path_type=Path))
@click.option("--images", is_flag=True, help="Put configurations and layers in, too: what pull --bundle needs.")
@click.pass_context
def create(click_context: click.Context, refs: tuple[str, ...], to: Path, *, images: bool) -> None:
    """Write a bundle of each REF: the collection's metadata from its first root on, and the manifests.

    Everything is verified against the pins here, as verify does, before FILE is written; FILE is replaced whole or
    not at all. REF is as for verify.

    \b
    Example:
      trustkit bundle create -o app.bundle --images registry.example.com/app:v1
    """
    from trustkit.engines.bundle import packing

    ctx: Context = click_context.obj
    named = [ImageRef.parse(text) for text in dict.fromkeys(refs)]
    if to.is_dir():
        raise InvalidReference(f"{to} is a folder.", hint="Name the file that the bundle is written to.")
    make = _create(ctx)
    to = to.absolute()
    with packing(to) as (layout, finish):
        contents = make(named, layout, images=images)
        trial = layout.folder.parent / "trial"
        finish(contents, trial)
        _read_back(ctx, trial, named)
        trial.replace(to)
    for name, descriptor in sorted(contents.images.items()):
        data(f"{name.partition('@')[0]}@{descriptor.digest}")
    note(f"{to}: {to.stat().st_size} bytes, of {len(contents.collections)} collection(s).")


def _create(ctx: Context) -> CreateBundle:
    from trustkit.cli.convert import conversions
    from trustkit.cli.publishing import notary
    from trustkit.client.bundle import CreateBundle
    from trustkit.client.collecting import Collect, FormerRoots

    return CreateBundle(
        ctx.verify(),
        Collect(consumer(ctx), ctx.service, lambda: notary(ctx)),
        ctx.registry,
        clock=ctx.now,
        former=FormerRoots(conversions(ctx), ctx.notary_source.served_roots),
    )


def consumer(ctx: Context) -> Trust:
    """Pins and verified state of a consumer: the policy's pins before the home's."""
    from trustkit.client.leading import following
    from trustkit.client.trust import Trust
    from trustkit.home.policy import PolicyPins

    ask = ctx.ask if ctx.interactive else None
    pins = PolicyPins(ctx.home.pins, _rules(ctx, None))
    return Trust(
        pins,
        ctx.source,
        ask=ask,
        warn=note,
        unsafe_trust_on_first_use=_first_use(ctx),
        follow=following(ctx.source),
    )


def _read_back(ctx: Context, path: Path, refs: list[ImageRef]) -> None:
    """Verifies what was written as somebody with these pins who has never seen the collections."""
    from trustkit.engines.bundle import opened_bundle

    with TemporaryDirectory(prefix="trustkit-bundle-") as scratch, opened_bundle(path) as bundle:
        offline = _offline(ctx, bundle, lambda _gun: MAX_AGE, _rules(ctx, None), scratch=Path(scratch))
        for ref in refs:
            offline.trusted(ref)


@dataclass(frozen=True, slots=True)
class Offline:
    """A bundle that is open, and what says which references of it may be used as signed."""

    bundle: Bundle
    enforce: Enforce
    types: Mapping[Digest, str]

    def trusted(self, ref: ImageRef) -> Trusted:
        """As ``Enforce.trusted``."""
        return self.enforce.trusted(ref)


@contextmanager
def verifying(ctx: Context, path: Path | None, age: str | None, policy: str | None) -> Iterator[Offline]:
    """The verify use case on a bundle, open for a block.

    Raises:
        UsageError: no age is given, here or in the policy, or none that can be read.
        BadBundle, StateError: the file.
    """
    from trustkit.engines.bundle import opened_bundle

    if path is None:
        raise UsageError("--max-age is the age of a bundle; name one with --bundle FILE.")
    rules = _rules(ctx, policy)
    max_age = _max_age(age, rules)
    with opened_bundle(path) as bundle:
        yield _offline(ctx, bundle, max_age, rules)


def _max_age(age: str | None, rules: Policy | None) -> Callable[[Gun], timedelta]:
    """What a bundle's age may be: as a person says here, or else as the policy says of the GUN; never unsaid."""
    if age is not None:
        given = parse_age(age)
        return lambda _gun: given
    if rules is None:
        raise _no_age("no policy is here that says it")

    def by_rule(gun: Gun) -> timedelta:
        rule = rules.rule(gun)
        if not rule.max_staleness:
            raise _no_age(f"the policy's rule {rule.name} has no max_staleness")
        return rule.max_staleness

    return by_rule


def _no_age(why: str) -> UsageError:
    return UsageError(
        f"--bundle needs --max-age: how long ago the bundle's timestamp may have been signed; {why}.",
        hint="There is no default. Write for example --max-age 14d.",
    )


def _offline(
    ctx: Context,
    bundle: Bundle,
    max_age: Callable[[Gun], timedelta],
    rules: Policy | None,
    *,
    scratch: Path | None = None,
) -> Offline:
    from trustkit.client.bundle import AgedTrust, VerifyBundled
    from trustkit.client.enforce import Enforce
    from trustkit.client.leading import following
    from trustkit.client.verify import Verify
    from trustkit.home.metadata import MetadataFolders
    from trustkit.home.policy import PolicyPins
    from trustkit.remote.bundled import BundledFormats, BundledNotary, BundledTuf
    from trustkit.remote.notary_source import NotarySource
    from trustkit.remote.source import UpdaterSource

    folders = MetadataFolders(scratch) if scratch else ctx.home.metadata

    def judge(wire: str) -> Judge:
        def judging(
            files: Mapping[str, bytes], gun: Gun, now: datetime, *, tags: Collection[Tag] | None = None
        ) -> SignedView:
            return evaluate_aged(files, gun, now, max_age=max_age(gun), tags=tags, wire=wire)

        return judging

    def tuf(folder: Path) -> UpdaterSource:
        return UpdaterSource(
            fetcher=bundle.fetcher, folder=lambda _gun, _pin: nullcontext(folder), seen=_unseen, sleep=_no_wait
        )

    def docker(
        folder: Callable[[Gun, Pin], AbstractContextManager[Path]], fetcher: Callable[[Gun], Fetch]
    ) -> NotarySource:
        return NotarySource(
            fetcher=fetcher,
            folder=folder,
            seen=_unseen,
            seen_as_tuf=ctx.home.metadata.seen_as_tuf,
            now=ctx.now,
            sleep=_no_wait,
        )

    def docker_in(folder: Path) -> NotarySource:
        return docker(lambda _gun, _pin: nullcontext(folder), bundle.docker_fetcher)

    source = BundledFormats(
        BundledTuf(tuf, folders.locked, judge(TUF)),
        BundledNotary(docker_in, folders.locked, judge(DOCKER)),
        tuf_roots=lambda gun: tuf(Path()).tuf_roots(gun),
        docker_roots=docker(folders.locked, bundle.former_fetcher).docker_roots,
    )
    trust = AgedTrust(
        PolicyPins(ctx.home.pins, rules),
        source,
        max_age=max_age,
        ask=ctx.ask if ctx.interactive else None,
        warn=note,
        unsafe_trust_on_first_use=_first_use(ctx),
        follow=following(source),
    )
    verify = Verify(trust, clock=ctx.now, demand=lambda gun: rules.rule(gun).demand if rules else None)
    bundled = VerifyBundled(verify, bundle)
    return Offline(bundle, Enforce(bundled, rules, superseded=False), bundled.types)


def _unseen(_gun: Gun) -> bool:
    """Nothing that a bundle hasn't got is gone."""
    return False


def _no_wait(_seconds: float) -> None:
    """A file doesn't lag as a replica may."""


def _rules(ctx: Context, policy: str | None) -> Policy | None:
    from trustkit.config import policy_file
    from trustkit.home.policy import read_policy

    path = policy_file(policy, ctx.environ, ctx.home.path).value
    return None if path is None else read_policy(path)


def _first_use(ctx: Context) -> bool:
    from trustkit.config import FIRST_USE, switched_on

    return switched_on(FIRST_USE, ctx.environ).value
