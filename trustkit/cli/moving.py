"""Where images are taken from and put, wired: engines, and layouts on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trustkit.cli.context import Context
    from trustkit.core.names import Host
    from trustkit.core.ports.engines import Engine
    from trustkit.engines.oci import LayoutImage


def engine_of(ctx: Context, to: str) -> Engine:
    """The engine that ``--to`` names: ``docker``, ``podman``, ``skopeo:DEST`` or ``oci:DIR``."""
    from trustkit.engines import engine
    from trustkit.remote.tls import docker_folder

    logins = docker_folder(ctx.environ) / "config.json"
    return engine(
        to,
        registry=ctx.registry,
        environ=ctx.environ,
        plain_http=plain_http(ctx),
        logins=logins if ctx.environ.get("DOCKER_CONFIG") and logins.exists() else None,
    )


def plain_http(ctx: Context) -> Callable[[Host], bool]:
    """What says whether the port of a loopback host speaks no TLS."""
    return lambda host: ctx.http(host).origin.scheme == "http"


def layout_image(ctx: Context, folder: Path, tag: str) -> LayoutImage:
    """What an OCI layout has under a tag, to be pushed."""
    from trustkit.engines.layout import Layout
    from trustkit.engines.oci import LayoutImage

    return LayoutImage(Layout(folder), tag, ctx.registry)
