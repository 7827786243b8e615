"""docker's own commands for images, with each image by the digest that the policy lets in."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

from trustkit.cli.app import report
from trustkit.cli.docker import PROGRAM, PluginContext
from trustkit.cli.output import note
from trustkit.cli.verify import each_reference, told_verdict
from trustkit.client.enforce import Verdict
from trustkit.client.pull import pull as pull_allowed
from trustkit.core.names import ImageRef
from trustkit.engines.docker import DockerEngine
from trustkit.errors import TrustkitError, UsageError
from trustkit.hooks.docker_call import content_trust
from trustkit.hooks.docker_flags import OURS, Line, read_line
from trustkit.hooks.docker_images import Images, image_of

REFUSED = 125
"""As docker's own: in ``run``, what is below is the container's status."""

Verb = Callable[[PluginContext, tuple[str, ...], tuple[str, ...]], int]


def pull(ctx: PluginContext, command: tuple[str, ...], words: tuple[str, ...]) -> int:
    """``docker pull``: of each image the digest that may be used, then its tag."""
    line = _read(ctx, command, words, interspersed=True)
    if line.on("all-tags"):
        raise UsageError(
            "--all-tags would pull tags that nobody has signed.",
            hint="Name the tags; trustkit inspect NAME lists what is signed.",
        )
    engine, enforce = _engine(ctx, line.flags(OURS), seen=not line.on("quiet")), ctx.enforce()

    def one(ref: ImageRef) -> None:
        told_verdict(pull_allowed(ref, enforce, engine, ctx.registry))

    return each_reference(tuple(words[at] for at in line.arguments), one, image_of)


def container(ctx: PluginContext, command: tuple[str, ...], words: tuple[str, ...]) -> int:
    """``docker run`` and ``create``: the image is pulled and tagged where it isn't there, and named by its digest."""
    line = _read(ctx, command, words, interspersed=False)
    when, platform = line.value("pull"), line.value("platform")
    engine = _engine(
        ctx,
        [] if platform is None else [f"--platform={platform}"],
        missing_only=when != "always" and platform is None,
        seen=not line.on("quiet"),
    )
    return _with_images(ctx, command, line, None if when == "never" else engine)


def service(ctx: PluginContext, command: tuple[str, ...], words: tuple[str, ...]) -> int:
    """``docker service create``: its nodes pull the digest."""
    return _with_images(ctx, command, _read(ctx, command, words, interspersed=False), None)


def _with_images(ctx: PluginContext, command: tuple[str, ...], line: Line, engine: DockerEngine | None) -> int:
    def fetch(verdict: Verdict, engine: DockerEngine) -> Verdict:
        return pull_allowed(verdict.ref, lambda _: verdict, engine, ctx.registry)

    images = Images(ctx.enforce(), note, None if engine is None else lambda verdict: fetch(verdict, engine))
    flags: dict[int, str | None] = {}
    for place, given in enumerate(line.given):
        if given.name == OURS:
            flags[place] = None
        elif given.name == "mount" and given.value is not None:
            flags[place] = images.mount(given.value)
    image = line.arguments[0]
    return ctx.docker.become(
        [*command, *line.edited(arguments={image: images.argument(line.words[image])}, flags=flags)]
    )


def build(ctx: PluginContext, command: tuple[str, ...], words: tuple[str, ...]) -> int:
    """``docker build``: of a copy of the Dockerfile in which each image has its digest."""
    from trustkit.hooks.docker_build import build_arguments, check_builder, pinned, recipe, written

    line = _read(ctx, command, words, interspersed=True)
    if len(line.arguments) != 1:
        raise UsageError(f"{PROGRAM} {' '.join(command)} takes one PATH.", hint="Name the folder to build.")
    context, file = words[line.arguments[0]], line.value("file")
    found = recipe(context, file, lambda most: sys.stdin.buffer.read(most + 1))
    enforce = ctx.enforce()
    flags, contexts = _build_flags(line, Images(enforce, note))
    arguments = build_arguments(line.values("build-arg"), ctx.environ)
    check_builder(arguments, lambda: ctx.docker.flags(command))
    text = pinned(found.source, enforce, arguments=arguments, contexts=contexts, warn=note)
    with tempfile.TemporaryDirectory(prefix="trustkit-context-") as empty, written(text, found.ignore) as path:
        named = [place for place, given in enumerate(line.given) if given.name == "file"]
        first = [] if named else ["--file", str(path)]
        others = {line.arguments[0]: empty} if context == "-" else {}
        edited = line.edited(arguments=others, flags={**flags, **dict.fromkeys(named, str(path))})
        stdin = subprocess.DEVNULL if found.source.name == "-" else None
        return ctx.docker.call([*command, *first, *edited], stdin=stdin)


def _build_flags(line: Line, images: Images) -> tuple[dict[int, str | None], list[str]]:
    """New values for flags that name images, and the names of additional contexts."""
    flags: dict[int, str | None] = {}
    contexts: list[str] = []
    for place, given in enumerate(line.given):
        if given.name == OURS:
            flags[place] = None
        elif given.name == "cache-from" and given.value is not None:
            flags[place] = images.cache(given.value)
        elif given.name in ("sbom", "attest"):
            flags[place] = images.attestation(given.value or "true", f"--{given.name}")
        elif given.name == "build-context" and given.value is not None:
            name, flags[place] = images.context(given.value)
            contexts.append(name)
    return flags, contexts


def _read(ctx: PluginContext, command: tuple[str, ...], words: tuple[str, ...], *, interspersed: bool) -> Line:
    line = read_line(words, lambda: ctx.docker.flags(command), interspersed=interspersed)
    if line.on("help"):
        ctx.docker.become([*command, "--help"])
    if not line.arguments:
        raise UsageError(f"{PROGRAM} {' '.join(command)} names no image.", hint=f"See {PROGRAM} --help")
    if line.on(OURS):
        note(f"--{OURS} changes nothing here: the policy decides, and what it refuses is refused.")
    return line


def _engine(
    ctx: PluginContext, pull_options: Sequence[str], *, missing_only: bool = False, seen: bool
) -> DockerEngine:
    return DockerEngine(
        ctx.docker.environ,
        program=ctx.docker.program,
        options=ctx.docker.options,
        pull_options=pull_options,
        missing_only=missing_only,
        seen=seen,
    )


def run(ctx: PluginContext, command: tuple[str, ...], words: tuple[str, ...]) -> int:
    """``docker run``; where it doesn't come to a container, the status is 125."""
    try:
        return container(ctx, command, words)
    except TrustkitError as error:
        report(error)
        return REFUSED


ROUTES: dict[tuple[str, ...], Verb] = {
    ("pull",): pull,
    ("image", "pull"): pull,
    ("run",): run,
    ("container", "run"): run,
    ("create",): container,
    ("container", "create"): container,
    ("build",): build,
    ("image", "build"): build,
    ("builder", "build"): build,
    ("builder", "b"): build,
    ("buildx", "build"): build,
    ("buildx", "b"): build,
    ("service", "create"): service,
}
_BUILDX = frozenset({"bake", "f", "create", "debug", "dap"})
PAST: dict[str, frozenset[str]] = {
    "compose": frozenset({"up", "run", "create", "pull", "build", "watch", "scale", "alpha", "bridge"}),
    "stack": frozenset({"deploy", "up"}),
    "service": frozenset({"update"}),
    "plugin": frozenset({"install", "upgrade"}),
    "extension": frozenset({"install", "update"}),
    "buildx": _BUILDX,
    "builder": _BUILDX,
}
"""What gets images past us: refused while content trust is on."""
PAST_ALL = frozenset({"debug", "mcp", "model", "offload", "sandbox", "sbom", "scout"})
"""Docker's plugins that get images, models or servers by themselves whatever follows."""
_HARMLESS = frozenset({"trustkit", "init", "pass", "desktop"})
_GROUPS = {first for first, *more in ROUTES if more} | PAST.keys()


def anything(ctx: PluginContext, words: tuple[str, ...]) -> int:
    """Any command line of docker's: images by the policy, what would get past it refused, the rest as it is."""
    root = read_line(words, lambda: ctx.docker.flags(()), interspersed=False)
    if not root.arguments:
        return ctx.docker.become(words, ctx.environ)
    at = root.arguments[0]
    called, first, rest = ctx.called_with(root.flags()), words[at], words[at + 1 :]
    if (first,) in ROUTES:
        return ROUTES[first,](called, (first,), rest)
    if first in _GROUPS:
        return _grouped(called, first, rest)
    if (
        content_trust(ctx.environ)
        and first not in _HARMLESS
        and (first in PAST_ALL or first in called.docker.plugins())
    ):
        raise _past(first)
    return called.docker.become([first, *rest], ctx.environ)


def _grouped(ctx: PluginContext, first: str, rest: tuple[str, ...]) -> int:
    """``docker image pull`` and the like, with flags of the first word before the second (``buildx --builder``)."""
    line = read_line(rest, lambda: ctx.docker.flags((first,)), interspersed=False)
    if line.arguments and not line.on("help"):
        at = line.arguments[0]
        second, command = rest[at], (first, *line.flags(), rest[at])
        if (first, second) in ROUTES:
            return ROUTES[first, second](ctx, command, rest[at + 1 :])
        if content_trust(ctx.environ) and second in PAST.get(first, ()):
            raise _past(f"{first} {second}")
    return ctx.docker.become([first, *rest], ctx.environ)


def _past(command: str) -> UsageError:
    return UsageError(
        f"docker {command} gets its images by itself, and DOCKER_CONTENT_TRUST is set.",
        hint="Pin them (trustkit resolve --write FILE), and run it with DOCKER_CONTENT_TRUST=0.",
    )


def _verb(name: str) -> Callable[[PluginContext, tuple[str, ...]], int]:
    return lambda ctx, words: ROUTES[name,](ctx, (name,), words)


ACTS: dict[str, Callable[[PluginContext, tuple[str, ...]], int]] = {
    **{name: _verb(name) for name in ("pull", "run", "create", "build")},
    "docker": anything,
}
