"""Images in compose files: of services, volumes, caches, additional contexts, listers, models and inline Dockerfiles.

Variables are replaced as compose does it, in every text, from the environment and ``.env``.  The image of a service
that is built is an output where ``pull_policy`` says so: compose otherwise looks for it in the registry first.  Other
files that a file names (include, extends, a build's Dockerfile) are to be given, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trustkit.builds.dockerfile import FRONTEND, read_dockerfile
from trustkit.builds.sites import Build, Other, Reading
from trustkit.builds.words import BadWord, Dialect, Expanded, expand
from trustkit.builds.yamlnodes import Node, Yaml, is_mapping, is_scalar, is_sequence

IMAGE_CONTEXT = "docker-image://"
NOT_PULLED = frozenset({"build", "never"})
"""Values of ``pull_policy`` with which compose doesn't pull the image of a service that it builds."""
_DIALECT = Dialect("", "Set it: export {0}=VALUE, or write {0}=VALUE into .env, with no variable in it")
_GENERATOR = "generator="
_RESET = "!reset"
"""The tag with which compose takes a field back."""


def read_compose(yaml: Yaml, environment: Mapping[str, str | None], arguments: Mapping[str, str]) -> Reading:
    """The references of a compose file.

    Args:
        environment: the variables that compose replaces; None for a value that isn't known.
        arguments: build arguments for inline Dockerfiles, which win over those in the file.

    Raises:
        BuildFileInvalid: it can't be read, a variable has no value, or compose may pull what it builds.
        InvalidSetting: a parser isn't installed.
    """
    if len(yaml.documents) != 1:
        raise yaml.invalid(yaml.documents[1], "begins a second document, which compose merges; divide the file.")
    return _Compose(yaml, environment, arguments).read()


class _Compose:
    def __init__(self, yaml: Yaml, environment: Mapping[str, str | None], arguments: Mapping[str, str]) -> None:
        self._yaml = yaml
        known = {name: value for name, value in environment.items() if value is not None}
        self._variables = {name: Expanded.given(value) for name, value in known.items()}
        self._dialect = replace(_DIALECT, unknown=environment.keys() - known.keys())
        self._lenient = replace(self._dialect, empty_if_unset=True)
        self._arguments = arguments
        self._reading = Reading()

    def read(self) -> Reading:
        (document,) = self._yaml.documents
        services = self._yaml.at(document, "services")
        for name, service in self._yaml.fields(services).items():
            self._service(name, service)
        for model in self._yaml.fields(self._yaml.at(document, "models")).values():
            if (pulled := self._yaml.at(model, "model")) is not None:
                self._add(pulled, "model")
        if (include := self._yaml.at(document, "include")) is not None:
            self._include(include)
        return self._reading

    def _include(self, include: Node) -> None:
        if not is_sequence(include):
            raise self._yaml.invalid(include, "has an include that is no list.")
        for entry in self._yaml.items(include):
            fields = self._yaml.fields(entry)
            if fields.keys() - {"path"}:
                raise self._yaml.invalid(
                    entry, "includes a file with variables or a folder of its own.", hint="Write its path alone."
                )
            path = fields.get("path", entry)
            for each in self._yaml.items(path) if is_sequence(path) and fields else [path]:
                self._other("include", each)

    def _other(self, what: str, node: Node) -> None:
        """A file that compose reads along with this one."""
        path = self._text(node)
        if not path or ":" in path:
            raise self._yaml.invalid(node, f"({what}) names no file here.", hint="Fetch it, and name the file.")
        self._reading.others.append(Other(self._yaml.line(node), what, path))

    def _service(self, name: str, service: Node) -> None:
        fields = self._yaml.fields(service)
        image, build = fields.get("image"), fields.get("build")
        if build is not None and self._is_build(build):
            if image is not None:
                self._built(name, image, self._text(fields.get("pull_policy")))
            self._build(build)
        elif image is not None:
            self._add(image, "image")
        if (file := self._yaml.at(fields.get("extends"), "file")) is not None:
            self._other("extends", file)
        for volume in self._yaml.items(fields.get("volumes")):
            if self._text(self._yaml.at(volume, "type")) == "image" and (
                volume_image := self._yaml.at(volume, "source")
            ):
                self._add(volume_image, "image volume")

    def _is_build(self, build: Node) -> bool:
        return build.tag != _RESET and (is_mapping(build) or bool(self._yaml.text(build)))

    def _built(self, name: str, image: Node, policy: str | None) -> None:
        """The image of a service that is built, which has to be an output and nothing else."""
        if policy not in NOT_PULLED:
            raise self._yaml.invalid(
                image,
                f"has an image beside the build of {name[:60]!a}, and compose pulls it where there is one.",
                hint="Write pull_policy: build into the service, or leave its image out.",
            )
        reason = f"it is what the build of {name[:60]!a} makes"
        self._reading.skip("image", self._yaml.text(image) or "", reason, line=self._yaml.line(image))

    def _add(self, node: Node, what: str) -> None:
        if not is_scalar(node):
            raise self._yaml.invalid(node, f"has an {what} that is no text.")
        self._reading.add(self._yaml.source, what, self._expanded(node, self._dialect), line=self._yaml.line(node))

    def _expanded(self, node: Node, dialect: Dialect) -> Expanded:
        try:
            return expand(self._yaml.traced(node), self._variables, dialect)
        except BadWord as bad:
            raise self._yaml.invalid(node, bad.what, hint=bad.hint) from bad

    def _text(self, node: Node | None) -> str | None:
        """A scalar's text with its variables replaced; None for anything else and for null."""
        return None if self._yaml.text(node) is None else self._expanded(node, self._dialect).text.text

    def _build(self, build: Node) -> None:
        fields = self._yaml.fields(build)
        contexts = self._contexts(fields.get("additional_contexts"))
        for cache in self._yaml.items(fields.get("cache_from")):
            self._cache(cache)
        self._sbom(fields.get("sbom"))
        arguments = {**self._build_arguments(fields.get("args")), **self._arguments}
        inline = fields.get("dockerfile_inline")
        if inline is not None and is_scalar(inline):
            text = self._expanded(inline, self._lenient).text
            self._reading.extend(read_dockerfile(self._yaml.source, text, arguments, contexts))
            return
        where = self._text(fields.get("context") or build) or "."
        named, line = self._text(fields.get("dockerfile")), self._yaml.line(build)
        what = named or "Dockerfile"
        reason = "its Dockerfile is a file of its own: give that, too"
        self._reading.skip("build", f"{where.rstrip('/')}/{what}", reason, line=line)
        self._reading.builds.append(Build(line, where, what, arguments, contexts, by_default=not named))
        if FRONTEND in arguments:
            frontend = Expanded.given(arguments[FRONTEND].split(" ")[0])
            self._reading.add(self._yaml.source, FRONTEND, frontend, line=self._yaml.line(build))

    def _cache(self, node: Node) -> None:
        """A cache, whose layers get into what is built: an image, or somewhere else."""
        text = self._text(node) or ""
        if "=" not in text:
            self._add(node, "cache_from")
        elif any(part.replace(" ", "").lower() == "type=registry" for part in text.replace('"', "").split(",")):
            raise self._yaml.invalid(node, "has a cache in a registry.", hint="Name a signed image: NAME:TAG")

    def _sbom(self, node: Node | None) -> None:
        """What lists what is inside: an image that sees all that is built."""
        text = self._text(node)
        if text is None or text.lower() == "false":
            return
        if not text.startswith(_GENERATOR) or "," in text:
            raise self._yaml.invalid(
                node,
                "has an image look through all that is built, and names none that could be verified.",
                hint="Write sbom: generator=NAME:TAG",
            )
        self._add_after(node, _GENERATOR, "sbom")

    def _add_after(self, node: Node, prefix: str, what: str) -> None:
        """Adds the image that a text names after a prefix."""
        expanded = self._expanded(node, self._dialect)
        name = expanded.text.part(len(prefix), len(expanded.text.text))
        image = Expanded(name, expanded.outer, expanded.outer)
        self._reading.add(self._yaml.source, what, image, line=self._yaml.line(node))

    def _contexts(self, node: Node | None) -> list[str]:
        """The names of additional contexts; those that are images are references."""
        pairs = self._pairs(node)
        for _, text, value in pairs:
            if is_mapping(node) and (text or "").startswith(IMAGE_CONTEXT):
                self._add_after(value, IMAGE_CONTEXT, "build context")
            elif IMAGE_CONTEXT in (text or ""):
                raise self._yaml.invalid(value, "names an image in a list of contexts.", hint="Write NAME: VALUE.")
        return [name for name, _, _ in pairs]

    def _build_arguments(self, node: Node | None) -> dict[str, str]:
        """The arguments that have a value: NAME alone takes that of the environment."""
        found = {}
        for name, value, written in self._pairs(node):
            if value is not None:
                found[name] = value
            elif name in self._dialect.unknown:
                raise self._yaml.invalid(
                    written, f"uses {name}, which has no value.", hint=_DIALECT.gives.format(name)
                )
            elif name in self._variables:
                found[name] = self._variables[name].text.text
        return found

    def _pairs(self, node: Node | None) -> list[tuple[str, str | None, Node]]:
        """A mapping's fields, or the items NAME=VALUE of a list, variables replaced; None for NAME alone."""
        if is_mapping(node):
            return [(name, self._text(value), value) for name, value in self._yaml.fields(node).items()]
        items = [(*(self._text(item) or "").partition("="), item) for item in self._yaml.items(node)]
        return [(name, value if equals else None, item) for name, equals, value, item in items]
