"""YAML as nodes with their places, by PyYAML: nothing is loaded into objects and nothing is written by it.

Anchors are not expanded, so an alias costs what it takes to write it; merge keys (``<<``) are followed where a field
is looked up.  Readers disagree which one counts of two equal keys, of two merge keys, and of a key before a merge key
that brings it, too: kubectl takes the merged one.  Such a mapping is refused where it is looked into.  So is a file
with text in base64 (``!!binary``), under which some would find a field.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from trustkit.builds.source import Source, Traced
from trustkit.core.names import shown
from trustkit.errors import BuildFileInvalid, InvalidSetting

Node = Any
"""A node of PyYAML, which has no types of its own: ScalarNode, SequenceNode or MappingNode."""

MAX_MERGES = 50
_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"
_BINARY = "tag:yaml.org,2002:binary"


class Yaml:
    """The documents of a YAML file.

    Raises:
        BuildFileInvalid: it is no YAML, with the line.
        InvalidSetting: the library isn't installed.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        text = source.traced
        self._shift = text.at[0] if text.text else 0
        documents = _compose(source, text.text)
        self.documents = [node for node in documents if not (is_scalar(node) and node.tag == _NULL)]
        for scalar in _scalars(self.documents):
            if scalar.tag == _BINARY:
                raise self.invalid(scalar, "has text in base64.", hint="Write it out.")

    def start(self, node: Node) -> int:
        """The index in the file where a node begins."""
        return cast("int", node.start_mark.index) + self._shift

    def line(self, node: Node) -> int:
        """The line in the file where a node begins."""
        return self.source.line(self.start(node))

    def invalid(self, node: Node, what: str, *, hint: str = "") -> BuildFileInvalid:
        """An error about a node."""
        return self.source.invalid(self.start(node), what, hint=hint)

    def fields(self, node: Node) -> dict[str, Node]:
        """A mapping's fields by their names, merged ones too; none where the node is no mapping.

        Raises:
            BuildFileInvalid: readers disagree which field counts.
        """
        return self._fields(node, [MAX_MERGES])

    def _fields(self, node: Node, left: list[int]) -> dict[str, Node]:
        if not is_mapping(node):
            return {}
        left[0] -= 1
        if left[0] < 0:
            raise self.invalid(node, f"merges more than {MAX_MERGES} mappings.")
        own: dict[str, Node] = {}
        merged: dict[str, Node] | None = None
        for key, value in node.value:
            if not is_scalar(key):
                continue
            if key.tag == _MERGE:
                if merged is not None:
                    raise self.invalid(key, "has << for the second time.", hint="Write <<: [*A, *B].")
                merged = {}
                for each in reversed(value.value if is_sequence(value) else [value]):
                    merged |= self._fields(each, left)
                if again := sorted(own.keys() & merged.keys()):
                    raise self.invalid(key, f"has {shown(again[0])} before << and in it.", hint="Write << first.")
            elif own.setdefault(key.value, value) is not value:
                raise self.invalid(key, f"has {shown(key.value)} for the second time.", hint="Remove one.")
        return (merged or {}) | own

    def at(self, node: Node, *path: str) -> Node | None:
        """What stands at a path of fields; None where there is nothing."""
        for name in path:
            node = self.fields(node).get(name)
        return node

    def items(self, node: Node | None) -> list[Node]:
        """A sequence's items; none where the node is no sequence."""
        return list(node.value) if node is not None and is_sequence(node) else []

    def text(self, node: Node | None) -> str | None:
        """A scalar's text; None for anything else and for null."""
        return cast("str", node.value) if node is not None and is_scalar(node) and node.tag != _NULL else None

    def traced(self, node: Node) -> Traced:
        """A scalar's text with its places: none where what is written isn't what it means (escapes, folding)."""
        value = cast("str", node.value)
        start, end = self.start(node), node.end_mark.index + self._shift
        if node.style == "|":
            return self._block(value, start)
        if node.style in ("'", '"'):
            end -= 1
        first = end - len(value)
        if first >= start and self.source.text[first:end] == value:
            return Traced(value, range(first, end))
        return Traced.outside(value)

    def _block(self, value: str, start: int) -> Traced:
        """A literal block: each line is what is written, without the indentation."""
        text, position = self.source.text, self.source.text.find("\n", start) + 1
        at: list[int] = []
        for number, line in enumerate(value.split("\n")):
            if number:
                at.append(position - 1)
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            written = text[position:end].removesuffix("\r")
            first = len(written) - len(line)
            if line and (first < 0 or written[first:] != line or written[:first].strip(" ")):
                return Traced.outside(value)
            at += range(position + first, position + first + len(line))
            position = end + 1
        return Traced(value, at) if len(at) == len(value) else Traced.outside(value)


def is_mapping(node: Node | None) -> bool:
    """Whether a node is a mapping."""
    return node is not None and node.id == "mapping"


def is_sequence(node: Node | None) -> bool:
    """Whether a node is a sequence."""
    return node is not None and node.id == "sequence"


def is_scalar(node: Node | None) -> bool:
    """Whether a node is a scalar."""
    return node is not None and node.id == "scalar"


def fields_below(node: Node) -> Iterator[tuple[str, Node]]:
    """Each scalar field below a node with its name, and each of them once however many aliases there are."""
    for each in _nodes([node]):
        if is_mapping(each):
            yield from ((key.value, value) for key, value in each.value if is_scalar(key) and is_scalar(value))


def _scalars(nodes: list[Node]) -> Iterator[Node]:
    return (node for node in _nodes(nodes) if is_scalar(node))


def _nodes(nodes: list[Node]) -> Iterator[Node]:
    """These and all that is below them, keys too, each once."""
    seen, waiting = set[int](), list(nodes)
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if is_mapping(node):
            waiting += (each for pair in node.value for each in pair)
        elif is_sequence(node):
            waiting += node.value


def _compose(source: Source, text: str) -> list[Node]:
    try:
        import yaml
    except ImportError as error:
        raise InvalidSetting(
            "Reading YAML needs a library that is not installed.", hint="pip install 'trustkit[resolve]'"
        ) from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return list(yaml.compose_all(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise source.invalid_line(line, f"is not YAML: {ascii(error.problem or '')[1:-1][:200]}.") from error
    except yaml.YAMLError as error:
        raise source.invalid_line(1, f"is not YAML: {ascii(str(error))[1:-1][:200]}.") from error
    except RecursionError as error:
        raise source.invalid_line(1, "is nested too deeply.") from error
