"""Files of ``trustkit resolve``: read whole, and written all or none."""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trustkit.builds.dockerfile import read_dockerfile
from trustkit.builds.dotenv import read_dotenv
from trustkit.builds.read import FileKind, read
from trustkit.builds.sites import Build, Other, Reading
from trustkit.builds.source import MAX_BYTES, Source, shown_path
from trustkit.cli.resolve_beside import check_beside
from trustkit.client.pinning import Finding, ReadFile, pinned_text
from trustkit.core.names import ImageRef, shown
from trustkit.errors import BuildFileInvalid, Conflict, StateError, TrustkitError, UsageError
from trustkit.home.files import read_bounded, write_atomically

_OTHER_ENV = ("COMPOSE_ENV_FILES", "COMPOSE_DISABLE_ENV_FILE")
"""With which newer composes read other files than ``.env``, or none, and older ones still read that."""
Row = tuple[str, "ReadFile | TrustkitError", list[Finding]]


@dataclass(frozen=True, slots=True)
class Changed:
    """A file that was written."""

    name: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The files in their order, each as it was read or why it wasn't.

    Args:
        again: reads another text of a file in the same way.
        unused: build arguments that no file has an ARG for.
    """

    files: list[ReadFile | TrustkitError]
    again: Callable[[ReadFile, Source], Reading]
    unused: list[str]


def load(
    names: Sequence[str],
    kind: FileKind | None,
    arguments: Mapping[str, str],
    env_file: str | None,
    environ: Mapping[str, str],
    *,
    whole: bool = False,
) -> Loaded:
    """Reads files; what can't be read is among the answers.

    Args:
        whole: what tools use along with a file is to be given, too.
    """

    def environment(name: str) -> Mapping[str, str | None]:
        return _environment(name, env_file, environ)

    given = {Path(name).resolve() for name in names}

    def one(name: str) -> ReadFile | TrustkitError:
        try:
            source = Source.decode(name, _bytes(name))
            file = ReadFile(source, *read(source, kind, lambda: environment(name), arguments))
            for other in file.reading.others:
                _check_other(source, other, given, env_file)
            for build in file.reading.builds:
                _check_build(source, build, arguments)
            if whole:
                check_beside(file, given, environment(name) if file.kind is FileKind.COMPOSE else {})
            return file
        except TrustkitError as error:
            return error

    files = [one(name) for name in names]
    used = {each for file in files if isinstance(file, ReadFile) for each in file.reading.arguments}

    def again(file: ReadFile, source: Source) -> Reading:
        return read(source, file.kind, lambda: environment(source.name), arguments)[1]

    all_read = all(isinstance(file, ReadFile) for file in files)
    return Loaded(files, again, sorted(set(arguments) - used) if all_read else [])


def _environment(name: str, env_file: str | None, environ: Mapping[str, str]) -> Mapping[str, str | None]:
    """What compose replaces variables by in a file: the environment, then ``.env`` or the file in its place."""
    beside = Path(env_file) if env_file else Path(name).parent / ".env"
    if not env_file:
        if said := next((each for each in _OTHER_ENV if environ.get(each)), ""):
            raise UsageError(
                f"{said} is set, so that compose may take its variables from elsewhere than .env.",
                hint="Name the file that counts: --env-file FILE, or --env-file /dev/null for none.",
            )
        if beside.exists() and not beside.is_file():  # a link to what never ends, or never comes
            raise StateError(f"{shown_path(str(beside))} is no regular file.", hint="Remove it, or name --env-file.")
    data = read_bounded(beside, MAX_BYTES)
    if data is None and env_file:
        raise UsageError(f"There is no file {shown_path(env_file)}.", hint="Correct the path.")
    return {**(read_dotenv(str(beside), data) if data else {}), **environ}


def _check_other(source: Source, other: Other, given: Collection[Path], env_file: str | None) -> None:
    """Raises BuildFileInvalid where another file isn't among those that are read, or is read with other variables."""
    here = Path(source.name).parent
    path = (here / other.path).resolve()
    if path not in given:
        raise source.invalid_line(
            other.line,
            f"({other.what}) names {shown_path(other.path)}, which is not among the files given.",
            hint=f"Give it, too: {shown_path(str(here / other.path))}",
        )
    there = {(here / other.path).parent, path.parent}  # two where the name is a link
    theirs = any((folder / ".env").exists() for folder in there)
    elsewhere = any(folder.resolve() != here.resolve() for folder in there)
    if elsewhere and (theirs or ((here / ".env").exists() and not env_file)):
        raise source.invalid_line(
            other.line,
            f"({other.what}) names a file of another folder, where variables have other values.",
            hint="Write all variables into one file, remove .env there, and name that file: --env-file FILE",
        )


def _check_build(source: Source, build: Build, arguments: Mapping[str, str]) -> None:
    """Raises BuildFileInvalid where a build's own arguments give a Dockerfile other bases than ours do.

    One that isn't here, or is no file, is not looked at.
    """
    path = Path(source.name).parent / build.context / build.dockerfile
    if not path.is_file():
        return
    dockerfile = Source.decode(str(path), _bytes(str(path)))
    if _bases(dockerfile, build.arguments, build.contexts) == _bases(dockerfile, arguments, build.contexts):
        return
    differ = [name for name, value in sorted(build.arguments.items()) if arguments.get(name) != value]
    raise source.invalid_line(
        build.line,
        f"(build) gives {shown_path(str(path))} other bases by its arguments: {', '.join(map(shown, differ))}.",
        hint="Give them, too, for all files: --build-arg NAME=VALUE",
    )


def _bases(dockerfile: Source, arguments: Mapping[str, str], contexts: Sequence[str]) -> list[ImageRef] | None:
    """What it is built from; None where nobody can say with these arguments."""
    try:
        return [site.ref for site in read_dockerfile(dockerfile, dockerfile.traced, arguments, contexts).sites]
    except BuildFileInvalid:
        return None


def put(rows: Sequence[Row], loaded: Loaded) -> list[Changed]:
    """Writes the digests in: every text is made and read back first, then each file is replaced as a whole.

    Raises:
        CannotPin: a digest doesn't fit; nothing was written.
        Conflict: a file has changed since it was read; nothing was written.
        StateError: a folder or disk doesn't let us; what was written before was put back.
    """
    new: list[tuple[ReadFile, str]] = []
    for _, file, found in rows:
        if isinstance(file, ReadFile):
            text = pinned_text(file, found, lambda source, file=file: loaded.again(file, source))  # type: ignore[misc]  # mypy infers no type for a lambda's default
            if text != file.source.text:
                new.append((file, text))
    for file, _ in new:
        if _bytes(file.source.name) != file.source.text.encode():
            raise Conflict(f"{shown_path(file.source.name)} was changed meanwhile.", hint="Run it again.")
    done: list[ReadFile] = []
    try:
        for file, text in new:
            _replace(file, text)
            done.append(file)
    except StateError:
        for file in done:
            _replace(file, file.source.text)
        raise
    return [Changed(file.source.name) for file in done]


def _replace(file: ReadFile, text: str) -> None:
    path = Path(file.source.name).resolve()
    write_atomically(path, text.encode(), mode=stat.S_IMODE(path.stat().st_mode))


def _bytes(name: str) -> bytes:
    path = Path(name)
    if path.exists() and not path.is_file():
        raise StateError(f"{shown_path(name)} is no regular file.", hint="Name a file.")
    data = read_bounded(path, MAX_BYTES)
    if data is None:
        raise UsageError(f"There is no file {shown_path(name)}.", hint="Correct the path.")
    return data
