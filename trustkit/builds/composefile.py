"""Images in compose files: services, image volumes, additional build contexts and inline Dockerfiles.

Variables are replaced as compose does it, from the environment and ``.env``.  A service that is built has its image
as an output.  Other files that a file names (include, extends, a build's Dockerfile) are to be given, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from trustkit.builds.dockerfile import read_dockerfile
from trustkit.builds.sites import Reading
from trustkit.builds.words import BadWord, Dialect, Expanded, expand
from trustkit.builds.yamlnodes import Node, Yaml, is_mapping, is_scalar

IMAGE_CONTEXT = "docker-image://"
_DIALECT = Dialect("", "Set it: export {}=VALUE, or write it into .env")
_LENIENT = Dialect("", _DIALECT.gives, empty_if_unset=True)


def read_compose(yaml: Yaml, environment: Mapping[str, str], arguments: Mapping[str, str]) -> Reading:
    """The references of a compose file.

    Args:
        environment: the variables that compose replaces.
        arguments: build arguments for inline Dockerfiles, which win over those in the file.

    Raises:
        BuildFileInvalid: it can't be read, or a variable has no value.
        InvalidSetting: a parser isn't installed.
    """
    if len(yaml.documents) != 1:
        raise yaml.invalid(yaml.documents[1], "begins a second document, which compose merges; divide the file.")
    return _Compose(yaml, environment, arguments).read()


class _Compose:
    def __init__(self, yaml: Yaml, environment: Mapping[str, str], arguments: Mapping[str, str]) -> None:
        self._yaml = yaml
        self._environment = environment
        self._variables = {name: Expanded.given(value) for name, value in environment.items()}
        self._arguments = arguments
        self._reading = Reading()

    def read(self) -> Reading:
        (document,) = self._yaml.documents
        services = self._yaml.at(document, "services")
        for name, service in self._yaml.fields(services).items():
            self._service(name, service)
        if (include := self._yaml.at(document, "include")) is not None:
            self._reading.skip("include", "", "give the files that it names, too", line=self._yaml.line(include))
        return self._reading

    def _service(self, name: str, service: Node) -> None:
        fields = self._yaml.fields(service)
        image, build = fields.get("image"), fields.get("build")
        if build is not None:
            if image is not None:
                text = self._yaml.text(image) or ""
                reason = f"it is what the build of {name[:60]!a} makes"
                self._reading.skip("image", text, reason, line=self._yaml.line(image))
            self._build(build)
        elif image is not None:
            self._add(image, "image")
        if "extends" in fields:
            where = self._yaml.line(fields["extends"])
            self._reading.skip("extends", "", "if it names another file, give that, too", line=where)
        for volume in self._yaml.items(fields.get("volumes")):
            if self._yaml.text(self._yaml.at(volume, "type")) == "image" and (
                volume_image := self._yaml.at(volume, "source")
            ):
                self._add(volume_image, "image volume")

    def _add(self, node: Node, what: str) -> None:
        if not is_scalar(node):
            raise self._yaml.invalid(node, f"has an {what} that is no text.")
        self._reading.add(self._yaml.source, what, self._expanded(node, _DIALECT), line=self._yaml.line(node))

    def _expanded(self, node: Node, dialect: Dialect) -> Expanded:
        try:
            return expand(self._yaml.traced(node), self._variables, dialect)
        except BadWord as bad:
            raise self._yaml.invalid(node, bad.what, hint=bad.hint) from bad

    def _build(self, build: Node) -> None:
        fields = self._yaml.fields(build)
        contexts = self._contexts(fields.get("additional_contexts"))
        inline = fields.get("dockerfile_inline")
        if inline is None or not is_scalar(inline):
            where = self._yaml.text(fields.get("context") or build) or "."
            what = self._yaml.text(fields.get("dockerfile")) or "Dockerfile"
            reason = "its Dockerfile is a file of its own: give that, too"
            self._reading.skip("build", f"{where.rstrip('/')}/{what}", reason, line=self._yaml.line(build))
            return
        text = self._expanded(inline, _LENIENT).text
        arguments = {**self._build_arguments(fields.get("args")), **self._arguments}
        self._reading.extend(read_dockerfile(self._yaml.source, text, arguments, contexts))

    def _contexts(self, node: Node | None) -> list[str]:
        """The names of additional contexts; those that are images are references."""
        named = dict(self._pairs(node))
        for name, value in named.items():
            text = self._yaml.text(value) or ""
            if name and text.startswith(IMAGE_CONTEXT):
                expanded = self._expanded(value, _DIALECT)
                length = len(expanded.text.text)
                image = Expanded(expanded.text.part(len(IMAGE_CONTEXT), length), expanded.outer, expanded.outer)
                self._reading.add(self._yaml.source, "build context", image, line=self._yaml.line(value))
            elif IMAGE_CONTEXT in text:
                raise self._yaml.invalid(value, "names an image in a list of contexts.", hint="Write NAME: VALUE.")
        return list(named)

    def _build_arguments(self, node: Node | None) -> dict[str, str]:
        found = {}
        for name, value in self._pairs(node):
            if value is None or self._yaml.text(value) is None:
                if name in self._environment:
                    found[name] = self._environment[name]
            elif is_mapping(node):
                found[name] = self._expanded(value, _DIALECT).text.text
            else:
                found[name] = self._expanded(value, _DIALECT).text.text.partition("=")[2]
        return found

    def _pairs(self, node: Node | None) -> list[tuple[str, Node]]:
        """A mapping's fields, or the items NAME=VALUE of a list by their names; None for NAME alone."""
        if is_mapping(node):
            return list(self._yaml.fields(node).items())
        items = [(item, self._yaml.text(item) or "") for item in self._yaml.items(node)]
        return [(text.partition("=")[0], item if "=" in text else None) for item, text in items]
