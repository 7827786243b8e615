"""What ``trustkit resolve`` says, as lines and as JSON, and the exit status that goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trustkit.builds.sites import Chain, Skipped
from trustkit.builds.source import shown_path
from trustkit.cli.app import report
from trustkit.cli.output import data, data_json, note
from trustkit.cli.resolve_files import Changed, Row
from trustkit.cli.status import DONE, exit_status
from trustkit.client.pinning import Finding, Waived
from trustkit.client.verify import Trusted
from trustkit.core.names import Digest, ImageRef
from trustkit.errors import TrustkitError

HUB = "docker.io"
HUB_OF_ACR = "registry.hub.docker.com"
"""How ACR Tasks spells Docker Hub in its lists of dependencies."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run.

    Args:
        unused: build arguments that no file has an ARG for.
    """

    rows: Sequence[Row]
    changed: Sequence[Changed]
    unused: Sequence[str]
    check: bool
    write: bool


def told(outcome: Outcome) -> int:
    """Prints a line for each reference; the status is that of the first that is refused."""
    problems: list[TrustkitError] = []
    for name, file, found in outcome.rows:
        if isinstance(file, TrustkitError):
            report(file, "" if shown_path(name) in file.message else shown_path(name))
            problems.append(file)
            continue
        for skipped in file.reading.skipped:
            what = f"{skipped.what} {skipped.written}".rstrip()
            note(f"{shown_path(name)}:{skipped.line}: {what} is left alone: {skipped.reason}.")
        for finding in found:
            problem = _problem(finding, name, check=outcome.check)
            if problem is not None:
                report(problem, f"{shown_path(name)}:{finding.site.line}")
                problems.append(problem)
            else:
                _tell(name, finding, outcome.changed)
    _tell_end(outcome, failed=bool(problems))
    return exit_status(problems[0]) if problems else DONE


def _problem(finding: Finding, name: str, *, check: bool) -> TrustkitError | None:
    if check:
        return finding.problem(name)
    return finding.answer if isinstance(finding.answer, TrustkitError) else None


def _tell(name: str, finding: Finding, changed: Sequence[Changed]) -> None:
    where, old, now = f"{shown_path(name)}:{finding.site.line}", finding.site.ref.digest, finding.wanted
    data(f"{where}: {now}")
    if isinstance(finding.answer, Waived):
        note(f"{where}: the rule {finding.answer.rule} takes it unsigned; it is left as it is.")
    elif old is not None and now is not None and old != now.digest:
        done = "was" if Changed(name) in changed else "is"
        note(f"{where}: {done} pinned to {old} -> {now.digest}")


def _tell_end(outcome: Outcome, *, failed: bool) -> None:
    for name in outcome.unused:
        note(f"No FILE has an ARG {ascii(name)[1:-1]}: its --build-arg has no effect.")
    if outcome.write and failed:
        note("Nothing was written.")
    for each in outcome.changed:
        note(f"Wrote {shown_path(each.name)}.")


def told_json(outcome: Outcome) -> int:
    """Prints one JSON value; the status is that of the first reference that is refused."""
    problems: list[TrustkitError] = []
    files: list[dict[str, Any]] = []
    for name, file, found in outcome.rows:
        if isinstance(file, TrustkitError):
            problems.append(file)
            files.append({"file": name, "error": _error(file)})
            continue
        said = [_problem(finding, name, check=outcome.check) for finding in found]
        problems += [problem for problem in said if problem]
        images = [_image(finding, problem) for finding, problem in zip(found, said, strict=True)]
        files.append(
            {
                "file": name,
                "kind": str(file.kind),
                "images": images,
                "skipped": [_skipped(each) for each in file.reading.skipped],
                "dependencies": [_dependencies(chain, found) for chain in file.reading.chains],
                "written": Changed(name) in outcome.changed,
            }
        )
    data_json({"files": files, "unused-build-args": list(outcome.unused)})
    return exit_status(problems[0]) if problems else DONE


def _skipped(each: Skipped) -> dict[str, Any]:
    return {"line": each.line, "what": each.what, "written": each.written, "reason": each.reason}


def _error(error: TrustkitError) -> dict[str, str]:
    return {"slug": error.slug, "message": error.message, "hint": error.hint}


def _image(finding: Finding, problem: TrustkitError | None) -> dict[str, Any]:
    site, wanted = finding.site, finding.wanted
    return {
        "line": site.line,
        "what": site.what,
        "written": site.written,
        "reference": str(site.ref),
        "digest": str(wanted.digest) if wanted and wanted.digest else None,
        "signed": isinstance(finding.answer, Trusted),
        "pinned": finding.pinned,
        "unsigned-by-rule": finding.answer.rule if isinstance(finding.answer, Waived) else None,
        "error": _error(problem) if problem else None,
    }


def _dependencies(chain: Chain, found: Sequence[Finding]) -> dict[str, Any]:
    """As ``az acr task logs`` prints it at the end of a build."""
    digests = {finding.site.ref: finding.wanted.digest for finding in found if finding.wanted}
    return {
        "image": None,
        "runtime-dependency": _dependency(chain.runtime, digests) if chain.runtime else None,
        "buildtime-dependency": [_dependency(ref, digests) for ref in chain.buildtime],
        "git": {},
    }


def _dependency(ref: ImageRef, digests: dict[ImageRef, Digest | None]) -> dict[str, str | None]:
    host, digest = str(ref.gun.host), digests.get(ref)
    return {
        "registry": HUB_OF_ACR if host == HUB else host,
        "repository": str(ref.gun.repository),
        "tag": str(ref.tag) if ref.tag else None,
        "digest": str(digest) if digest else None,
    }
