"""Images in Kubernetes manifests: all containers of Pods, of what makes Pods, and image volumes; Lists too."""

from __future__ import annotations

from trustkit.builds.sites import Reading
from trustkit.builds.words import Expanded
from trustkit.builds.yamlnodes import Node, Yaml, fields_below, is_mapping, is_scalar

CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
POD_SPECS: tuple[tuple[str, ...], ...] = (
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
    ("template", "spec"),
)
"""Where workloads have the specification of their Pods, those of Kubernetes and custom ones that follow it."""

_POD = (("spec",),)
_KUSTOMIZE = "kustomize.config.k8s.io/"
MAX_LISTS = 10


def read_kubernetes(yaml: Yaml) -> Reading:
    """The references of manifests.

    Raises:
        BuildFileInvalid: a document that has no kind, or an image that is no reference.
    """
    reading = Reading()
    seen: set[int] = set()
    for document in yaml.documents:
        _object(yaml, document, reading, seen, 0)
    return reading


def _object(yaml: Yaml, node: Node, reading: Reading, seen: set[int], depth: int) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    fields = yaml.fields(node)
    kind, version = yaml.text(fields.get("kind")), yaml.text(fields.get("apiVersion"))
    if not kind or not version:
        raise yaml.invalid(node, "has an object without kind and apiVersion.")
    if version.startswith(_KUSTOMIZE):
        raise yaml.invalid(
            node,
            "is kustomize's, which replaces images in the files that it lists.",
            hint="Give what it makes of them: kubectl kustomize DIR > FILE.yaml",
        )
    if kind.endswith("List") and "items" in fields:
        if depth == MAX_LISTS:
            raise yaml.invalid(node, f"has Lists nested deeper than {MAX_LISTS}.")
        for item in yaml.items(fields["items"]):
            _object(yaml, item, reading, seen, depth + 1)
        return
    specs = [yaml.at(node, *path) for path in (_POD if kind == "Pod" else POD_SPECS)]
    found = [spec for spec in specs if is_mapping(spec) and yaml.fields(spec).keys() & {*CONTAINERS}]
    for spec in found:
        _pod_spec(yaml, spec, reading, seen)
    if not found and _is_custom(version):
        _skip_custom(yaml, node, kind, reading)


def _pod_spec(yaml: Yaml, spec: Node, reading: Reading, seen: set[int]) -> None:
    if id(spec) in seen:
        return
    seen.add(id(spec))
    for field in CONTAINERS:
        for container in yaml.items(yaml.at(spec, field)):
            _image(yaml, yaml.at(container, "image"), "image", reading)
    for volume in yaml.items(yaml.at(spec, "volumes")):
        _image(yaml, yaml.at(volume, "image", "reference"), "image volume", reading)


def _image(yaml: Yaml, node: Node | None, what: str, reading: Reading) -> None:
    if node is None:
        return
    if not is_scalar(node):
        raise yaml.invalid(node, f"has an {what} that is no text.")
    reading.add(yaml.source, what, Expanded.literal(yaml.traced(node)), line=yaml.line(node))


def _is_custom(version: str) -> bool:
    group = version.rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def _skip_custom(yaml: Yaml, node: Node, kind: str, reading: Reading) -> None:
    for name, value in fields_below(node):
        if name == "image" and value.value:
            reading.skip(
                "image",
                value.value,
                f"{kind[:60]!a} is a custom resource without a Pod's template",
                line=yaml.line(value),
            )
