"""Engines that are fed from a bundle: nothing is asked of a registry, and every byte is hashed on the way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from trustkit.core.bundles import Contents
from trustkit.core.manifests import Descriptor, blobs
from trustkit.core.names import Digest, Host, ImageRef
from trustkit.core.ports.engines import Engine
from trustkit.core.strictjson import serialise
from trustkit.engines import PLACES
from trustkit.engines.archive import pack
from trustkit.engines.bundle import Bundle, BundleRegistry
from trustkit.engines.command import pinned, run
from trustkit.engines.layout import Layout
from trustkit.engines.oci import OciEngine
from trustkit.engines.podman import PodmanEngine
from trustkit.engines.skopeo import SkopeoEngine
from trustkit.errors import EngineFailed, InvalidReference, StateError


def bundled_engine(
    to: str,
    bundle: Bundle,
    types: Mapping[Digest, str],
    *,
    environ: Mapping[str, str],
    plain_http: Callable[[Host], bool],
) -> Engine:
    """The engine that ``--to`` names, fed from a bundle.

    Args:
        to: ``docker``, ``podman``, ``skopeo:DESTINATION`` or ``oci:DIR``.
        types: the media types of the manifests that were verified; filled as they are.
        environ, plain_http: as for ``engine``.

    Raises:
        InvalidReference: anything else.
    """
    kind, _, rest = to.partition(":")
    registry = BundleRegistry(bundle, types)
    if kind == "oci" and rest:
        return OciEngine(Layout.named(rest), registry)
    if to == "docker":
        return _ByWayOfLayout(registry, lambda folder, ref: _load(folder, ref, types, environ))
    if kind == "skopeo" and rest:
        skopeo = SkopeoEngine(rest, environ, plain_http=plain_http)
        return _ByWayOfLayout(registry, lambda folder, _: skopeo.copy_layout(folder))
    if to == "podman":
        podman = PodmanEngine(environ, plain_http=plain_http)
        return _ByWayOfLayout(registry, lambda folder, ref: podman.take_archive(_nameless(folder, ref, types), ref))
    raise InvalidReference(f"{to!r} is nowhere to pull to.", hint=PLACES)


class _ByWayOfLayout:
    """Takes the image out into a layout of its own, which something else copies from; the folder is gone then."""

    def __init__(self, registry: BundleRegistry, copy: Callable[[Path, ImageRef], None]) -> None:
        self._registry = registry
        self._copy = copy

    def pull(self, ref: ImageRef) -> None:
        """As ``Engine.pull``; raises BadBundle where the bundle has no layers."""
        try:
            with TemporaryDirectory(prefix="trustkit-image-") as scratch:
                folder = Path(scratch) / "image"
                OciEngine(Layout(folder), self._registry).pull(ref)
                self._copy(folder, ref)
        except OSError as error:
            raise StateError(f"There is no room to take the image out: {error.strerror or error}.") from error


def _load(folder: Path, ref: ImageRef, types: Mapping[Digest, str], environ: Mapping[str, str]) -> None:
    """``docker load`` of the layout, under the name of the reference; an image is listed for older engines, too."""
    digest = pinned(ref)
    size = (folder / "blobs" / "sha256" / digest.hex).stat().st_size
    top, name = Descriptor(types[digest], digest, size), f"{ref.gun}:{ref.tag}" if ref.tag else str(ref)
    (folder / "index.json").write_bytes(Contents({}, {name: top}).to_bytes())
    config, *layers = [f"blobs/sha256/{blob.digest.hex}" for blob in blobs(Layout(folder).manifest(top))] or [""]
    if config:
        listed = [{"Config": config, "RepoTags": [name] if ref.tag else [], "Layers": layers}]
        (folder / "manifest.json").write_bytes(serialise(listed))
    file = folder.with_suffix(".tar")
    pack(folder, file)
    try:
        run(["docker", "load", "--quiet", "--input", str(file)], {**environ, "DOCKER_CONTENT_TRUST": "0"})
    except EngineFailed as error:
        if not config and not error.hint:
            error.hint = f"This engine may load no index. skopeo takes its platform: --to skopeo:docker-daemon:{name}"
        raise


def _nameless(folder: Path, ref: ImageRef, types: Mapping[Digest, str]) -> Path:
    """An archive of the layout in which the image has no name.

    podman makes a name of its own of a layout's folder, or refuses it: the path has to be a repository's name.
    """
    digest = pinned(ref)
    size = (folder / "blobs" / "sha256" / digest.hex).stat().st_size
    top = {"mediaType": types[digest], "digest": str(digest), "size": size}
    (folder / "index.json").write_bytes(serialise({"schemaVersion": 2, "manifests": [top]}))
    file = folder.with_suffix(".tar")
    pack(folder, file)
    return file
