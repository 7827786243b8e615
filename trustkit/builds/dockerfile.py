"""Images in Dockerfiles: FROM, COPY --from, RUN --mount=from, ONBUILD, and the frontend that ``# syntax`` names.

Names are looked up as BuildKit does it: FROM knows the stages before it, case-insensitively; what COPY and RUN name
may be any stage, and one that comes later is refused here, because Docker's classic builder would pull an image
instead.  FROM knows the ARGs before the first FROM and those of the platforms; COPY --from and RUN --mount none.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from trustkit.builds.instructions import Instruction, Instructions
from trustkit.builds.sites import Chain, Reading
from trustkit.builds.source import Source, Traced
from trustkit.builds.words import BadWord, Dialect, Expanded, UnknownValue, expand
from trustkit.core.names import ImageRef, shown
from trustkit.errors import BuildFileInvalid

SCRATCH = "scratch"
FRONTEND = "BUILDKIT_SYNTAX"
_STAGE = re.compile(r"[a-z][a-z0-9._-]*\Z")
_NUMBER = re.compile(r"[+-]?[0-9]+\Z")
PER_PLATFORM = frozenset(
    f"{side}{part}" for side in ("TARGET", "BUILD") for part in ("PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT")
) | {"TARGETSTAGE"}
FROM_SETTINGS = frozenset(
    name for each in ("HTTP", "HTTPS", "FTP", "NO", "ALL") for name in (f"{each}_PROXY", f"{each}_PROXY".lower())
) | {"SOURCE_DATE_EPOCH"}
"""What docker gives as build arguments by itself, from its configuration and environment."""
_OTHER_SYNTAX = re.compile(r"//\s*syntax\s*=", re.IGNORECASE)


@dataclass(slots=True)
class Stage:
    """A stage: its name in lower case, and what it is built on: an image, an earlier stage, or nothing."""

    name: str
    line: int
    image: ImageRef | None = None
    base: Stage | None = None

    @property
    def runs_on(self) -> ImageRef | None:
        """The image at the bottom; None for ``scratch``."""
        stage = self
        while stage.base is not None:
            stage = stage.base
        return stage.image


def read_dockerfile(
    source: Source, text: Traced, arguments: Mapping[str, str], contexts: Collection[str] = ()
) -> Reading:
    """The references of a Dockerfile.

    Args:
        text: the Dockerfile, which may be a part of the file.
        arguments: build arguments (``--build-arg``).
        contexts: names of additional build contexts, which come before images.

    Raises:
        BuildFileInvalid: it can't be read, or nobody can say which image a name means.
        InvalidSetting: the parser isn't installed.
    """
    return _Dockerfile(source, Instructions(source, text), text, arguments, contexts).read()


class _Dockerfile:
    def __init__(
        self,
        source: Source,
        instructions: Instructions,
        text: Traced,
        arguments: Mapping[str, str],
        contexts: Collection[str],
    ) -> None:
        self._source = source
        self._instructions = instructions
        self._text = text
        self._arguments = arguments
        self._contexts = {name.lower() for name in contexts}
        self._dialect = Dialect(instructions.escape, "Give it a value: --build-arg {}=VALUE")
        self._variables = {name: Expanded.given(value) for name, value in arguments.items() if name in PER_PLATFORM}
        self._unknown = set((PER_PLATFORM - arguments.keys()) | FROM_SETTINGS)
        self._blank: set[str] = set()
        self._stages: list[Stage] = []
        self._reading = Reading(arguments=set(self._variables))

    def read(self) -> Reading:
        """All of it, in the order of the file."""
        self._frontend()
        all_of_it = list(self._instructions)
        for instruction in all_of_it:
            if instruction.name == "ARG":
                self._arg(instruction)
            elif instruction.name == "FROM":
                self._from(instruction)
        if not self._stages:
            raise self._source.invalid_line(self._instructions.line(1), "has no FROM.")
        self._uses(all_of_it)
        self._reading.sites.sort(key=lambda site: site.line)
        self._reading.skipped.sort(key=lambda skipped: skipped.line)
        self._reading.chains = [self._chain()]
        return self._reading

    def _chain(self) -> Chain:
        last = self._stages[-1]
        others = dict.fromkeys(site.ref for site in self._reading.sites if site.what != "syntax")
        return Chain(last.line, last.runs_on, tuple(ref for ref in others if ref != last.runs_on))

    def _frontend(self) -> None:
        first = self._instructions.line(1)
        if FRONTEND in self._arguments:
            self._reading.arguments.add(FRONTEND)
            given = Expanded.given(self._arguments[FRONTEND].split(" ")[0])
            self._reading.add(self._source, f"--build-arg {FRONTEND}", given, line=first)
            return
        text = self._text.text
        body = text.partition("\n")[2] if text.startswith("#!") else text
        if _OTHER_SYNTAX.match(body) or _json_syntax(body):
            raise self._source.invalid_line(
                first,
                "names a frontend of another language; only Dockerfiles are read.",
                hint="Remove the syntax line.",
            )
        directives = self._instructions.directives_from(0 if body is text else 1)
        for directive in directives:
            if directive.name == "syntax":
                image = directive.value.part(0, len(directive.value.text.split(" ")[0]))
                line = self._source.line(image.at[0])
                self._reading.add(self._source, "syntax", Expanded.literal(image), line=line)

    def _arg(self, instruction: Instruction) -> None:
        """An ARG before the first FROM, whose value all FROMs know.

        What depends on the platform is only refused where an image depends on it in turn.
        """
        for word in instruction.words:
            equals = word.text.find("=")
            name = word.text if equals < 0 else word.text[:equals]
            if name in self._arguments:
                self._reading.arguments.add(name)
            if self._stages:
                continue
            if name in self._arguments:
                self._set(name, Expanded.given(self._arguments[name]))
            elif equals >= 0 and name not in FROM_SETTINGS:
                value = word.part(equals + 1, len(word.text))
                try:
                    self._set(name, self._expanded(value, instruction.line, "ARG"))
                except UnknownValue:
                    self._unknown.add(name)
            elif name in self._variables:  # older BuildKits take the value away, newer ones leave it
                self._unknown.add(name)
            else:
                self._blank.add(name)

    def _set(self, name: str, value: Expanded) -> None:
        self._variables[name] = value
        self._unknown.discard(name)

    def _expanded(self, word: Traced, line: int, what: str) -> Expanded:
        dialect = replace(self._dialect, unknown=self._unknown, blank=self._blank, empty_if_unset=what == "ARG")
        try:
            return expand(word, self._variables, dialect)
        except BadWord as bad:
            if what == "ARG" and isinstance(bad, UnknownValue):
                raise
            raise self._bad(bad, line, what) from bad

    def _bad(self, bad: BadWord, line: int, what: str) -> BuildFileInvalid:
        by_platform = any(name in bad.what for name in PER_PLATFORM)
        hint = f"The platform decides it. {bad.hint}" if by_platform else bad.hint
        return self._source.invalid_line(line, f"({what}) {bad.what}", hint=hint)

    def _from(self, instruction: Instruction) -> None:
        words, line = instruction.words, instruction.line
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].text.lower() != "as"):
            raise self._source.invalid_line(line, "(FROM) isn't FROM IMAGE or FROM IMAGE AS NAME.")
        name = words[2].text.lower() if len(words) == 3 else ""
        if name and not _STAGE.match(name):
            raise self._source.invalid_line(line, f"(FROM) has {shown(name)}, which is no name of a stage.")
        stage = Stage(name, line)
        expanded = self._expanded(words[0], line, "FROM")
        written = expanded.text.text
        if written == SCRATCH:
            self._reading.skip("FROM", written, "it is no image: the stage begins empty", line=line)
        elif base := self._stage(written):
            stage.base = base
            self._reading.skip("FROM", written, f"it is the stage of line {base.line}", line=line)
        elif written.lower() in self._contexts:
            self._reading.skip("FROM", written, "it is an additional build context", line=line)
        else:
            stage.image = self._reading.add(self._source, "FROM", expanded, line=line)
        self._stages.append(stage)

    def _stage(self, name: str) -> Stage | None:
        """The latest of the stages so far that has a name."""
        return next((stage for stage in reversed(self._stages) if stage.name and stage.name == name.lower()), None)

    def _uses(self, instructions: list[Instruction]) -> None:
        index = -1
        for instruction in instructions:
            index += instruction.name == "FROM"
            used, trigger = instruction, instruction.name == "ONBUILD"
            if trigger:
                if instruction.trigger is None:
                    continue
                used = instruction.trigger
            for what, value in _from_flags(used, self._source):
                self._use(f"ONBUILD {what}" if trigger else what, value, used.line, None if trigger else index)

    def _use(self, what: str, value: Traced, line: int, index: int | None) -> None:
        """What COPY --from or RUN --mount=from names.

        Args:
            index: the stage in which it stands; None for ONBUILD, which runs in builds that don't know these stages.
        """
        written = value.text
        if "$" in written:
            raise self._source.invalid_line(
                line,
                f"({what}) has a variable in {shown(written)}, which builders don't replace there.",
                hint="Name a stage, and give that the image: FROM IMAGE:${VERSION} AS NAME.",
            )
        if written in ("", SCRATCH):
            return
        if index is not None and self._is_stage(what, written, line, index):
            return
        if written.lower() in self._contexts:
            self._reading.skip(what, written, "it is an additional build context", line=line)
            return
        self._reading.add(self._source, what, Expanded.literal(value), line=line)

    def _is_stage(self, what: str, written: str, line: int, index: int) -> bool:
        if what == "COPY --from" and _NUMBER.match(written):
            if not 0 <= int(written[:9]) < index or len(written) > 9:
                raise self._source.invalid_line(
                    line, f"({what}) names stage {shown(written)}, which isn't before it."
                )
            self._reading.skip(what, written, f"it is the stage of line {self._stages[int(written)].line}", line=line)
            return True
        named = [position for position, stage in enumerate(self._stages) if stage.name == written.lower()]
        if not named:
            return False
        if named[0] >= index:
            raise self._source.invalid_line(
                line,
                f"({what}) names the stage of line {self._stages[named[0]].line}, which isn't before it.",
                hint="Builders disagree whether that is the stage or an image. Move the stage up, or rename it.",
            )
        self._reading.skip(what, written, f"it is the stage of line {self._stages[named[0]].line}", line=line)
        return True


def _from_flags(instruction: Instruction, source: Source) -> list[tuple[str, Traced]]:
    """What an instruction takes files from, with the words for where it says so."""
    found = []
    for flag in instruction.flags:
        name, equals, _ = flag.text.partition("=")
        start = len(name) + len(equals)
        if instruction.name == "COPY" and name == "from":
            found.append(("COPY --from", flag.part(start, len(flag.text))))
        elif instruction.name == "RUN" and name == "mount":
            found += [
                ("RUN --mount", each) for each in _mount_from(flag.part(start, len(flag.text)), source, instruction)
            ]
    return found


def _mount_from(value: Traced, source: Source, instruction: Instruction) -> list[Traced]:
    """The values of ``from`` in a mount, which is one line of comma-separated values."""
    try:
        (fields,) = csv.reader([value.text], strict=True)
    except (csv.Error, ValueError) as error:
        raise source.invalid_line(instruction.line, "(RUN --mount) can't be read.") from error
    found, position = [], 0
    for field in fields:
        key, equals, image = field.partition("=")
        start = position + len(key) + len(equals)
        if equals and key.strip().lower() == "from":
            plain = '"' not in value.text and value.text[position : position + len(field)] == field
            found.append(value.part(start, start + len(image)) if plain else Traced.outside(image))
        position += len(field) + 1
    return found


def _json_syntax(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "syntax" in value
