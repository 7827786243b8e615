"""Each template's steps, run as they are written, against a real service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import pytest

from tests.ci.conftest import SIGNER_PASSPHRASE, MakeJob
from tests.ci.systems import CLEAN_PATH, SYSTEMS, Job, Ran, azure, github, shell
from tests.conftest import free_port
from tests.service import PASSWORD, Person, RunningService

TOP = Path(__file__).parents[2]
SCHEMA = json.loads((TOP / "docs" / "reference" / "report.schema.json").read_text(encoding="utf-8"))
DIGEST = "sha256:" + "0" * 64


def built(digest: str, *names: str) -> dict[str, object]:
    """What ``docker buildx build --metadata-file`` writes, as far as it is about the image."""
    return {
        "buildx.build.ref": "default/default/x1",
        "containerimage.descriptor": {"digest": digest, "size": 500},
        "containerimage.digest": digest,
        "image.name": ",".join(names),
    }


def report(ran: Ran, name: str) -> dict[str, object]:
    read = json.loads((ran.reports / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.validate(read, SCHEMA)
    assert read["ended"] is not None
    return read


def slugs(told: dict[str, object]) -> set[str | None]:
    return {each["slug"] for each in [*told["references"], *told["errors"]]}  # type: ignore[index, misc]


def check_nothing_leaked(job: Job, ran: Ran) -> None:
    """No secret in a log, a report or an argument; no home left behind."""
    argv = Path(job.more["ARGV_LOG"])
    texts = [ran.raw, argv.read_text(encoding="utf-8") if argv.exists() else ""]
    texts += [file.read_text(encoding="utf-8") for file in ran.reports.glob("*")]
    lines = [line for line in job.settings.get("TRUSTKIT_CI_SIGNER_KEY", "").splitlines() if len(line) > 60]
    for secret in (PASSWORD, SIGNER_PASSPHRASE, *lines):
        assert all(secret not in text for text in texts), secret
    assert job.leftovers() == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_was_built_is_signed_and_verified(
    service: RunningService, alice: Person, job: MakeJob, system: str
) -> None:
    names = [f"{service.host}/team/app:v1-{system}", f"{service.host}/team/app:v1.0-{system}"]
    digest = alice.push(names[0])
    made = job(built(digest, *names))
    ran = SYSTEMS[system](made)
    ci_key = made.settings["TRUSTKIT_CI_SIGNER_KEY"].partition("id: ")[2][:64]
    assert ran.status == 0, ran.raw
    check_nothing_leaked(made, ran)
    for name, outcome in ("sign", "signed"), ("verify", "trusted"):
        told = report(ran, name)
        assert told["status"] == 0
        for line, reference in zip(told["references"], names, strict=True):  # type: ignore[call-overload]
            assert line["reference"] == f"{reference}@{digest}"
            assert (line["digest"], line["outcome"], line["role"], line["status"]) == (digest, outcome, "ci", 0)
            assert line["threshold"] == 1
            assert ci_key in line["keys"]
            assert line["versions"]["ci"] > 0
            assert line["expires"]
    assert f"{names[0]}@{digest}\n" in ran.raw
    assert alice("verify", *names).status == 0


FAILURES = {
    "wrong passphrase": ({"TRUSTKIT_SIGNER_PASSPHRASE": "not that one at all"}, "v2", 6, "wrong-passphrase"),
    "a tag that isn't the signer's": ({}, "latest", 6, "key-missing"),
    "wrong password": ({"TRUSTKIT_CI_PASSWORD": "not that one"}, "v2", 5, "login-required"),
    "no secret": ({"TRUSTKIT_CI_PASSWORD": ""}, "v2", 2, "the secret?"),
    "another root": ({"TRUSTKIT_CI_ROOT_KEYS": "ab" * 32}, "v2", 3, "wrong-root"),
    "no root": ({"TRUSTKIT_CI_ROOT_KEYS": ""}, "v2", 2, "whom to believe"),
    "no key": ({"TRUSTKIT_CI_SIGNER_KEY": "AAAA"}, "v2", 2, "no signer's key file"),
}


@pytest.mark.parametrize(
    ("system", "case"),
    [
        *(("sh", case) for case in FAILURES),  # the others have the same text, as test_forms holds them to
        *((system, case) for system in ("github", "gitlab", "azure") for case in ("wrong passphrase", "no secret")),
    ],
)
def test_what_fails_ends_with_its_status_and_a_report(
    service: RunningService, alice: Person, job: MakeJob, system: str, case: str
) -> None:
    changes, tag, status, said = FAILURES[case]
    name = f"{service.host}/team/app:{tag}"
    made = job(built(alice.push(name), name), **changes)
    ran = SYSTEMS[system](made)
    assert (ran.status, said in ran.raw) == (status, True), ran.raw
    check_nothing_leaked(made, ran)
    assert report(ran, "sign")["status"] == status
    assert not (ran.reports / "verify.json").exists()
    assert alice("verify", name).slug == "unsigned"


def test_the_report_says_which_reference_failed(service: RunningService, alice: Person, job: MakeJob) -> None:
    good, bad = f"{service.host}/team/app:v3", f"{service.host}/team/app:nightly"
    ran = shell(job(built(alice.push(good), good, bad)))
    assert (ran.status, slugs(report(ran, "sign"))) == (6, {"key-missing"})
    missing = shell(job({"a": built(DIGEST, f"{service.host}/team/app:v4"), "b": built(alice.push(good), good)}))
    lines = report(missing, "sign")["references"]
    assert [line["outcome"] for line in lines] == ["failed", "not-tried"]  # type: ignore[attr-defined]
    assert missing.status == 1
    assert alice("verify", good).slug == "unsigned"


def test_a_service_that_is_down_is_no_success(job: MakeJob) -> None:
    host = f"127.0.0.1:{free_port()}"
    made = job(built(DIGEST, f"{host}/team/app:v1"), TRUSTKIT_CI_REPOSITORY=f"{host}/team/app")
    ran = shell(made)
    assert (ran.status, report(ran, "sign")["status"]) == (4, 4), ran.raw
    check_nothing_leaked(made, ran)


def test_what_was_built_is_signed_also_where_the_tag_moved_meanwhile(
    service: RunningService, alice: Person, job: MakeJob
) -> None:
    name = f"{service.host}/team/app:v5"
    ours, theirs = alice.push(name, "what was built"), alice.push(name, "what an intruder pushed afterwards")
    ran = shell(job(built(ours, name)))
    assert ran.status == 0, ran.raw
    assert alice("verify", name).out == f"{name}@{ours}\n"
    assert alice("verify", f"{name}@{theirs}").slug == "tag-moved"


HOSTILE = {
    "a command": "$(touch PWNED)",
    "backticks": "HOST/team/app:`touch PWNED`",
    "an option": "--help",
    "a command of the runner": "HOST/team/app:v1\n::add-mask::v1",
    "a command of the agent": "HOST/team/app:v1\n###vso[task.setvariable variable=PATH]/tmp",
    "no tag": "HOST/team/app",
    "a quote": "HOST/team/app:v1'; touch PWNED; '",
}


@pytest.mark.parametrize(
    ("system", "case"), [*((github, case) for case in HOSTILE), (azure, "a command of the agent")]
)
def test_a_hostile_name_is_no_command(
    service: RunningService, job: MakeJob, case: str, system: Callable[[Job], Ran]
) -> None:
    made = job(built(DIGEST, HOSTILE[case].replace("HOST", service.host)))
    ran = system(made)
    assert (ran.status, slugs(report(ran, "sign"))) == (2, {"invalid-reference"}), ran.raw
    check_nothing_leaked(made, ran)
    assert [*made.folder.rglob("PWNED")] == []
    assert set(ran.commands) <= {"add-mask", "stop-commands"}


@pytest.mark.parametrize("setting", ["TRUSTKIT_CI_REPOSITORY", "TRUSTKIT_CI_ROOT_KEYS", "TRUSTKIT_CI_METADATA_FILE"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_hostile_input_is_no_command(job: MakeJob, system: str, setting: str) -> None:
    made = job({}, **{setting: "x'; touch PWNED; $(touch PWNED) `touch PWNED` ; --help"})
    ran = SYSTEMS[system](made)
    assert ran.status == 2 or setting == "TRUSTKIT_CI_METADATA_FILE", ran.raw
    assert ran.status != 0
    assert [*made.folder.rglob("PWNED")] == []


@pytest.mark.parametrize(
    "metadata",
    ["", "{", "[]", "{}", '{"image.name": "h.example/a:v1"}', '{"buildx.build.ref": "default/default/x1"}'],
)
def test_metadata_that_names_no_digest_is_refused(job: MakeJob, metadata: str) -> None:
    ran = shell(job(metadata))
    assert (ran.status, slugs(report(ran, "sign"))) == (2, {"invalid-reference"}), ran.raw


def test_two_jobs_at_once_are_both_signed(service: RunningService, alice: Person, job: MakeJob) -> None:
    names = [f"{service.host}/team/app:v{number}" for number in (10, 11)]
    jobs = [job(built(alice.push(name), name)) for name in names]
    with ThreadPoolExecutor(2) as pool:
        for ran in pool.map(shell, jobs):
            assert ran.status == 0, ran.raw
    assert alice("verify", *names).status == 0


def test_a_job_founds_no_collection(service: RunningService, alice: Person, job: MakeJob) -> None:
    name = f"{service.host}/team/unfounded:v1"
    made = job(
        built(alice.push(name), name),
        TRUSTKIT_CI_REPOSITORY=f"{service.host}/team/*",
        TRUSTKIT_ROOT_PASSPHRASE="a passphrase that is around",
        TRUSTKIT_REPOSITORY_PASSPHRASE="a passphrase that is around",
        TRUSTKIT_UNSAFE_TRUST_ON_FIRST_USE="1",
    )
    ran = shell(made)
    assert ran.status == 6, ran.raw
    assert "first_use" not in ran.raw
    assert alice("verify", name).status == 3


@pytest.mark.parametrize("form", ["base64", "wrapped base64", "file", "crlf"])
def test_the_key_may_come_in_other_forms(
    service: RunningService, alice: Person, settings: dict[str, str], job: MakeJob, tmp_path: Path, form: str
) -> None:
    text = settings["TRUSTKIT_CI_SIGNER_KEY"]
    encoded = b64encode(text.encode()).decode()
    (tmp_path / "key").write_text(text, encoding="ascii")
    forms = {
        "base64": encoded,
        "wrapped base64": "\n".join(encoded[at : at + 76] for at in range(0, len(encoded), 76)) + "\n",
        "file": str(tmp_path / "key"),
        "crlf": text.replace("\n", "\r\n"),
    }
    name = f"{service.host}/team/app:v6"
    ran = shell(job(built(alice.push(name), name), TRUSTKIT_CI_SIGNER_KEY=forms[form]))
    assert ran.status == 0, ran.raw


def test_metadata_comes_as_text_and_a_root_as_a_file(service: RunningService, alice: Person, job: MakeJob) -> None:
    name = f"{service.host}/team/app:v7"
    digest = alice.push(name)
    made = job("not this", TRUSTKIT_CI_METADATA=json.dumps(built(digest, name)), TRUSTKIT_CI_ROOT_KEYS="")
    made.settings = {**made.settings, "TRUSTKIT_CI_ROOT_FILE": "root.json"}
    token = alice.token(service.host, "repository:team/app:pull")
    url = f"{service.url}/v2/{service.host}/team/app/_trust/metadata/1.root.json"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})) as answer:
        (made.work / "root.json").write_bytes(answer.read())
    ran = github(made)
    assert ran.status == 0, ran.raw


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, and beside it a folder with everything that it needs."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(TOP)]
    subprocess.run(command, check=True, capture_output=True)
    needs = folder / "needs"
    needs.mkdir()
    for each in Path(jsonschema.__file__).parents[1].iterdir():
        if "trustkit" not in each.name and each.suffix != ".pth":
            (needs / each.name).symlink_to(each)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_the_pinned_trustkit_is_installed(
    service: RunningService, alice: Person, job: MakeJob, wheel: Path, system: str
) -> None:
    name = f"{service.host}/team/app:v8-{system}"
    made = job(built(alice.push(name), name), TRUSTKIT_CI_INSTALL=str(wheel))
    python = str(Path(sys.base_prefix) / "bin")
    made.path = os.pathsep.join([python, CLEAN_PATH])  # no trustkit there: it has to be the one that is installed
    made.more = {**made.more, "PYTHONPATH": str(wheel.parent / "needs"), "PIP_NO_INDEX": "1", "PIP_NO_COMPILE": "1"}
    ran = SYSTEMS[system](made)
    assert ran.status == 0, ran.raw
    assert made.leftovers() == []


@pytest.mark.parametrize("system", ["sh", "github", "gitlab", "azure"])
@pytest.mark.parametrize("install", ["trustkit", "trustkit>=0.1", "--index-url=x"])
def test_what_is_not_pinned_is_not_installed(job: MakeJob, system: str, install: str) -> None:
    ran = SYSTEMS[system](job({}, TRUSTKIT_CI_INSTALL=install))
    assert (ran.status, "Pin the version" in ran.raw) == (2, True), ran.raw
