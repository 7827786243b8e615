"""``trustkit policy``: what this machine's policy file says."""

from __future__ import annotations

from pathlib import Path

import click

from trustkit.cli.context import Context
from trustkit.cli.options import format_option
from trustkit.cli.output import data, data_json, note, table


@click.group("policy", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Check and show the policy: which images are accepted from where.

    It is one TOML file: --policy FILE, TRUSTKIT_POLICY, or policy.toml of the home folder. The most specific rule
    that matches a repository counts, alone; what no rule matches is denied.
    """


@command.command("check")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("refs", metavar="REF...", nargs=-1)
@click.option("--no-network", is_flag=True, help="Say only which rule each REF falls under.")
@click.pass_context
def check(click_context: click.Context, file: Path, refs: tuple[str, ...], *, no_network: bool) -> None:
    """Check FILE, and say of each REF which rule it falls under and what comes of it.

    REF may be a familiar name such as alpine. The exit status is that of the first REF that is refused.

    \b
    Example:
      trustkit policy check policy.toml registry.example.com/app:v1 alpine
    """
    from trustkit.cli.app import report
    from trustkit.cli.status import exit_status
    from trustkit.core.familiar import familiar
    from trustkit.errors import TrustkitError
    from trustkit.home.policy import read_policy

    ctx: Context = click_context.obj
    policy = read_policy(file)
    note(f"{file}: {len(policy.rules)} rules, {len(policy.mirrors)} mirrors.")
    enforce, status = None if no_network else ctx.enforce(str(file)), 0
    for text in refs:
        try:
            ref = familiar(text)
            if enforce is None:
                data(f"{ref}: {policy.rule(policy.home(ref).gun).name}")
                continue
            verdict = enforce(ref)
            if verdict.error is None or verdict.allowed:
                data(verdict.reason)
                continue
            note(f"trustkit: {verdict.reason}")
            status = status or exit_status(verdict.error)
        except TrustkitError as error:
            report(error, text if text.isprintable() and text not in error.message else "")
            status = status or exit_status(error)
    click_context.exit(status)


@command.command("show")
@format_option
@click.pass_obj
def show(ctx: Context, output: str) -> None:
    """Show the rules of this machine's policy.

    \b
    Example:
      trustkit policy show
    """
    policy = ctx.policy
    rules = [] if policy is None else [*policy.rules]
    if output == "json":
        data_json([rule.as_json() for rule in rules])
    elif policy is None:
        note("There is no policy: what is signed by the pinned root keys is accepted.")
    elif rules:
        table(
            ("PATTERN", "MODE", "TAKES"),
            [(rule.name, f"{rule.mode}{' (detects)' if rule.detect else ''}", rule.words) for rule in rules],
        )
    else:
        note(f"{policy.origin} has no rules: everything is denied.")


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of policy files, for editors.

    \b
    Example:
      trustkit policy schema > policy.schema.json
    """
    from trustkit.home.policy import SCHEMA

    data(SCHEMA.read_text().rstrip())
