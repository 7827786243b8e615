"""What containerd's own configuration says about its image verifiers, and what it lets past them.

By containerd 2.1's ``docs/image-verification.md`` and ``docs/cri/config.md``: verifiers run where the transfer
service pulls, and the CRI plugin falls back to pulling by itself for settings that only it knows.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trustkit.hooks.containerd import SECONDS

MAX_CONFIG = 4 * 1024 * 1024
DEFAULT = Path("/opt/containerd/image-verifier/bin")
_VERIFIER = "io.containerd.image-verifier.v1.bindir"
_IMAGES = ("io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri")
_REGISTRY = ("mirrors", "configs", "auths")
_MOST = 10
_DOWNLOADS = 3
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def troubles(config: bytes, folder: Path, name: str) -> Iterator[str]:
    """What keeps containerd from asking an executable, or from asking it about every image; one sentence each.

    Args:
        config: containerd's ``config.toml``; files that it imports aren't looked at.
        folder: where the executable lies.
        name: of the executable there.
    """
    try:
        whole = tomllib.loads(config.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        yield f"it is no TOML: {error}"
        return
    version = whole.get("version")
    if type(version) is not int or version < 3:
        yield "its version isn't 3, so it may be of a containerd before 2.0, which asks no verifier"
    if whole.get("imports"):
        yield "it imports other files, which weren't looked at"
    disabled = whole.get("disabled_plugins")
    if isinstance(disabled, list) and _VERIFIER in disabled:
        yield f"it disables {_VERIFIER}, so containerd asks no verifier"
    yield from _asked(_at(whole, "plugins", _VERIFIER), folder, name)
    for plugin in _IMAGES:
        yield from _passed(_at(whole, "plugins", plugin))


def _asked(verifier: dict[str, Any], folder: Path, name: str) -> Iterator[str]:
    bin_dir = verifier.get("bin_dir", str(DEFAULT))
    if not isinstance(bin_dir, str) or Path(bin_dir) != folder:
        yield f"its bin_dir is {bin_dir!r}, not {folder}, so containerd asks another folder's verifiers"
    most = verifier.get("max_verifiers", _MOST)
    before = sum(other.name < name for other in folder.iterdir()) if folder.is_dir() else 0
    if type(most) is int and 0 <= most <= before:
        yield f"its max_verifiers is {most}, and {before} files come before {name}, so containerd doesn't ask it"
    seconds = _seconds(verifier.get("per_verifier_timeout", "10s"))
    if seconds is not None and seconds <= SECONDS:
        yield f"its per_verifier_timeout isn't over {SECONDS:g}s, so a refusal may be without its reason"


def _passed(images: dict[str, Any]) -> Iterator[str]:
    """For what the CRI plugin pulls by itself, and so past every verifier."""
    registry = _at(images, "registry")
    found = [f"registry.{member}" for member in _REGISTRY if registry.get(member)]
    found += [member for member in ("use_local_image_pull", "discard_unpacked_layers") if images.get(member) is True]
    if images.get("max_concurrent_downloads", _DOWNLOADS) != _DOWNLOADS:
        found.append("max_concurrent_downloads")
    if found:
        yield f"it has {', '.join(found)} for the CRI plugin, so the kubelet's pulls go past every verifier"


def _at(value: object, *members: str) -> dict[str, Any]:
    for member in members:
        value = value.get(member) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _seconds(text: object) -> float | None:
    """Of a duration as Go has it, in one unit; None for any other."""
    if not isinstance(text, str):
        return None
    number = text.rstrip("smh")
    try:
        return float(number) * _UNITS[text[len(number) :]]
    except (ValueError, KeyError):
        return None
