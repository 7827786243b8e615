"""One file of builds or deployments: of which kind it is, and what it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from trustkit.builds.composefile import read_compose
from trustkit.builds.dockerfile import read_dockerfile
from trustkit.builds.kubernetes import read_kubernetes
from trustkit.builds.sites import Reading
from trustkit.builds.source import Source, shown_path
from trustkit.builds.yamlnodes import Yaml
from trustkit.errors import UsageError


class FileKind(StrEnum):
    """What a file is."""

    DOCKERFILE = "dockerfile"
    COMPOSE = "compose"
    KUBERNETES = "kubernetes"


def kind_by_name(name: str) -> FileKind | None:
    """A Dockerfile by its name; None for YAML and JSON, whose content tells.

    Raises:
        UsageError: the name says nothing.
    """
    base = name.replace("\\", "/").rpartition("/")[2].lower()
    if base.endswith((".yaml", ".yml", ".json")):
        return None
    if base.startswith(("dockerfile", "containerfile")) or base.endswith((".dockerfile", ".containerfile")):
        return FileKind.DOCKERFILE
    raise UsageError(
        f"{shown_path(name)} doesn't say by its name what it is.",
        hint="Say it: --kind dockerfile, --kind compose or --kind kubernetes",
    )


def read(
    source: Source,
    kind: FileKind | None,
    environment: Callable[[], Mapping[str, str | None]],
    arguments: Mapping[str, str],
) -> tuple[FileKind, Reading]:
    """What a file is and names.

    Args:
        kind: None to find out: by name, then for YAML by what it has.
        environment: the variables of compose, as ``read_compose`` takes them; asked for only where the file is one.
        arguments: for ARGs of Dockerfiles.

    Raises:
        BuildFileInvalid: it can't be read.
        UsageError: nothing says what it is.
        InvalidSetting: a parser isn't installed.
    """
    kind = kind or kind_by_name(source.name)
    if kind is FileKind.DOCKERFILE:
        return kind, read_dockerfile(source, source.traced, arguments)
    yaml = Yaml(source)
    kind = kind or _kind_by_content(yaml)
    if not yaml.documents:
        raise source.invalid_line(1, "is empty.")
    if kind is FileKind.COMPOSE:
        return kind, read_compose(yaml, environment(), arguments)
    return kind, read_kubernetes(yaml)


def _kind_by_content(yaml: Yaml) -> FileKind:
    names = [yaml.fields(document).keys() for document in yaml.documents]
    if names and all({"kind", "apiVersion"} <= each for each in names):
        return FileKind.KUBERNETES
    if len(names) == 1 and "kind" not in names[0] and names[0] & {"services", "include"}:
        return FileKind.COMPOSE
    raise yaml.source.invalid_line(
        1,
        "is neither a compose file (services) nor Kubernetes manifests (kind and apiVersion in each document).",
        hint="Say what it is: --kind compose or --kind kubernetes",
    )
