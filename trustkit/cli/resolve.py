"""``trustkit resolve``."""

from __future__ import annotations

from collections.abc import Mapping

import click

from trustkit.builds.read import FileKind
from trustkit.cli.context import Context
from trustkit.cli.resolve_files import Changed, load, put
from trustkit.cli.resolve_report import Outcome, told, told_json
from trustkit.client.pinning import Finding, ReadFile, ask_all, findings
from trustkit.errors import TrustkitError, UsageError


@click.command("resolve")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--write", is_flag=True, help="Write the signed digests into the files.")
@click.option("--check", is_flag=True, help="Refuse where one is unsigned or not pinned to its signed digest.")
@click.option(
    "--these-only", is_flag=True, help="With --check, no other file is used: neither beside these nor by builds."
)
@click.option(
    "--kind", type=click.Choice([str(each) for each in FileKind]), help="What the files are. [by name and content]"
)
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME=VALUE", help="A build argument. Repeatable.")
@click.option("--env-file", metavar="FILE", help="For compose, in place of .env beside the file.")
@click.option("--format", "output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def command(
    click_context: click.Context,
    files: tuple[str, ...],
    *,
    write: bool,
    check: bool,
    these_only: bool,
    kind: str | None,
    build_args: tuple[str, ...],
    env_file: str | None,
    output: str,
) -> None:
    """Find each image that Dockerfiles, compose files and Kubernetes manifests name, and print its signed digest.

    With --write the digests go into the files, all of them or none, and nothing else changes. With --check nothing
    is written, and the status is 3 where an image is unsigned or has another digest than the signed one, or none.
    Files that are used along with these, such as the Dockerfile of a build, are to be given, too.

    \b
    Examples:
      trustkit resolve Dockerfile
      trustkit resolve --write Dockerfile compose.yaml
      trustkit resolve --check deploy/*.yaml
    """
    ctx: Context = click_context.obj
    if write and check:
        raise UsageError("--write and --check exclude each other.", hint="Run one, then the other.")
    if these_only and not check:
        raise UsageError("--these-only is for --check.", hint="Leave it out, or give both.")
    chosen = FileKind(kind) if kind else None
    whole = check and not these_only
    loaded = load(files, chosen, _arguments(build_args), env_file, ctx.environ, whole=whole)
    read = [each for each in loaded.files if not isinstance(each, TrustkitError)]
    wanted = [site.ref for file in read for site in file.reading.sites]
    answers = ask_all(wanted, ctx.enforce(), workers=1 if ctx.interactive else 8) if wanted else {}
    rows: list[tuple[str, ReadFile | TrustkitError, list[Finding]]] = [
        (name, file, [] if isinstance(file, TrustkitError) else findings(file, answers))
        for name, file in zip(files, loaded.files, strict=True)
    ]
    changed: list[Changed] = []
    if write and all(finding.wanted for _, _, found in rows for finding in found) and len(read) == len(files):
        changed = put(rows, loaded)
    tell = told_json if output == "json" else told
    outcome = Outcome(rows, changed, loaded.unused, check=check, write=write)
    click_context.exit(tell(outcome))


def _arguments(texts: tuple[str, ...]) -> Mapping[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(
                "A --build-arg is not NAME=VALUE.", hint="Write the value, too; the environment is not read for it."
            )
        found[name] = value
    return found
