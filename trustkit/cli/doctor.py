"""``trustkit doctor``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import click

from trustkit.cli.context import Context
from trustkit.cli.install_docker import look_at_plugin
from trustkit.cli.options import format_option
from trustkit.cli.output import data, data_json
from trustkit.cli.status import DONE, FAILED, exit_status
from trustkit.client.doctor import Check, Collections, Finding, Level, examine, fine
from trustkit.config import FIRST_USE, switched_on
from trustkit.core.clocks import SLACK, words_of
from trustkit.core.names import Gun, Host
from trustkit.errors import ServerFailed

WARN = timedelta(days=30)
_MARKS = {"fine": "ok  ", "note": "note", "bad": "BAD "}


@click.command("doctor")
@click.argument("guns", metavar="[GUN...]", nargs=-1)
@format_option
@click.pass_context
def command(click_context: click.Context, guns: tuple[str, ...], output: str) -> None:
    """Say what is wrong with this machine's set-up, each finding with its next step.

    Looks at the home folder, keys, pins, policy and Docker's configuration; then at the service of each GUN: whether
    it can be reached, its clock, the login; then at each GUN: pin, trust, expiry, and the roles where its keys are
    here. Without GUN: those whose keys are here or that are pinned by name. Nothing is changed. The exit status is
    that of the first finding that is BAD.

    \b
    Examples:
      trustkit doctor
      trustkit doctor registry.example.com/app
    """
    ctx: Context = click_context.obj
    machine = list(examine(_Machine(ctx).checks()))
    named = _named(ctx, guns)
    hosts = dict.fromkeys(gun.host for gun in named)
    found = machine + list(examine([(f"service {host}", _service(ctx, host)) for host in hosts]))
    found += examine([(str(gun), _collection(ctx, gun)) for gun in named])
    if output == "json":
        data_json([_as_json(finding) for finding in found])
    else:
        for finding in found:
            data(f"{_MARKS[finding.level.value]} {finding.about}: {finding.words}")
            if finding.step:
                data(f"       {finding.step}")
    worst = next((finding for finding in found if finding.level is Level.BAD), None)
    click_context.exit(DONE if worst is None else FAILED if worst.error is None else exit_status(worst.error))


class _Machine:
    """The checks of this machine alone."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def checks(self) -> list[tuple[str, Check]]:
        return [
            ("home", self._home),
            ("keys", self._keys),
            ("pins", self._pins),
            ("policy", self._policy),
            ("docker", self._docker),
            ("docker-plugin", lambda: look_at_plugin(self._ctx)),
            ("environment", self._environment),
        ]

    def _home(self) -> Iterator[Finding]:
        self._ctx.home.cache.exists()
        yield fine("home", f"{self._ctx.home.path} is this user's own.")

    def _keys(self) -> Iterator[Finding]:
        infos = self._ctx.key_store().list()
        yield fine("keys", f"There are {len(infos)}." if infos else "There are none: this machine signs nothing.")
        saved = self._ctx.home.backups.times()
        for info in infos:
            if info.id not in saved and info.uri is None:
                words = f"The {info.role.value} key {info.id[:16]} is in no backup."
                yield Finding("keys", Level.NOTE, words, "trustkit key backup --to FILE")

    def _pins(self) -> Iterator[Finding]:
        yield fine("pins", f"There are {len(self._ctx.home.pins.list())}.")

    def _policy(self) -> Iterator[Finding]:
        rules = self._ctx.policy
        if rules is None:
            yield fine("policy", "There is none: signed tags count, by the pins.")
            return
        yield fine("policy", f"{rules.origin} has {len(rules.rules)} rules.")
        for rule in rules.rules:
            if rule.detect:
                yield Finding("policy", Level.NOTE, f"The rule {rule.name} only detects: hooks refuse nothing by it.")

    def _docker(self) -> Iterator[Finding]:
        yield fine("docker", f"{self._ctx.docker_config().path} can be used.")

    def _environment(self) -> Iterator[Finding]:
        if switched_on(FIRST_USE, self._ctx.environ).value:
            step = f"Unset {FIRST_USE}, and pin: trustkit pin add"
            yield Finding("environment", Level.NOTE, "Roots are believed at first contact, unseen.", step)
        if hasattr(os, "geteuid") and os.geteuid() == 0 and "SUDO_USER" in self._ctx.environ:
            words = "This is root by sudo: keys, pins and logins are root's, not yours."
            yield Finding("environment", Level.NOTE, words)


def _named(ctx: Context, guns: tuple[str, ...]) -> list[Gun]:
    from trustkit.client.status import known_guns
    from trustkit.errors import KeyProblem, StateError

    if guns:
        return list(dict.fromkeys(Gun.parse(gun) for gun in guns))
    try:
        return known_guns(ctx.key_store(), ctx.home.pins)
    except (StateError, KeyProblem):
        return []  # told by the checks of the machine


def _service(ctx: Context, host: Host) -> Check:
    from trustkit.remote.proxies import proxy_for

    about = f"service {host}"

    def check() -> Iterator[Finding]:
        proxy = proxy_for(ctx.http(host).origin, ctx.environ)
        if proxy is not None:
            yield fine(about, f"It is asked through the proxy {proxy}, which {proxy.variable} names.")
        answer = ctx.http(host).request("GET", "/v2/")
        ctx.clocks.hear(host, answer.headers)
        if answer.status not in (200, 401):
            raise ServerFailed(f"{host} answers /v2/ with status {answer.status}.", status=answer.status)
        yield fine(about, f"It answers over {ctx.http(host).origin.scheme}.")
        offset = ctx.clocks.offset(host)
        if offset is not None and abs(offset) > SLACK:
            side = "behind" if offset > timedelta(0) else "ahead of"
            words = f"This machine's clock is {words_of(abs(offset))} {side} its clock."
            yield Finding(about, Level.BAD, words, "Correct the one that is wrong: expiry is judged by the clock.")
        who = ctx.docker_config().credentials(host)
        if who is None and answer.status == 401:
            yield Finding(about, Level.NOTE, "There is no login for it.", f"trustkit login {host}")
        elif who is not None:
            ctx.sessions(host).request("GET", "/v2/", scope="")
            yield fine(about, "It takes the login that is stored here.")

    return check


def _collection(ctx: Context, gun: Gun) -> Check:
    from trustkit.cli.status_command import status_of

    def check() -> Iterator[Finding]:
        status = status_of(ctx, ctx.key_store(), WARN)
        return Collections(ctx.pins.find, status, ctx.service).check(gun)

    return check


def _as_json(finding: Finding) -> dict[str, Any]:
    return {
        "about": finding.about,
        "level": finding.level.value,
        "message": finding.words,
        "next": finding.step,
        "slug": finding.error.slug if finding.error else None,
    }
