"""A key that isn't here, a passphrase that is wrong and a key of another role: told apart by all commands that sign.

Each error names the key, the role and the folder looked in; nothing is published, and no key is made, by any of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.test_signers import assert_done, signer_key
from tests.e2e.test_thresholds import raise_to_two, the_proposal
from tests.service import PASSPHRASE, Person, Result, RunningService
from trustkit.cli.app import report, run
from trustkit.cli.context import Context
from trustkit.cli.demo_images import write_image
from trustkit.cli.status import exit_status
from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyRole
from trustkit.errors import TrustkitError
from trustkit.keys import private
from trustkit.keys.keyfile import KeyFile

SIGNER = {"TRUSTKIT_SIGNER_PASSPHRASE": PASSPHRASE}
KINDS = {"root": "the root key", "repository": "the repository key of ", "signer": "the signer key of ci"}


@dataclass
class Bench:
    """Alice has the root key, the repository key and the key of ``ci``, who signs ``ci-*``; bob has another signer's.

    ``releases`` takes two signatures; a proposal of bob's waits for alice's.  An operator allowed a jump, so that
    ``recover`` would put something back.
    """

    service: RunningService
    alice: Person
    gun: str
    words: dict[str, str]
    files: dict[str, Path]

    def run(self, arguments: str, capfd: pytest.CaptureFixture[str], **environ: str) -> Result:
        """Runs a command in this process; ``{word}`` stands for one of ``words``."""
        capfd.readouterr()
        context = Context(home_flag=None, environ={**os.environ, **self.alice.environment(), **environ})
        try:
            status = run(arguments.format(**self.words).split(), context)
        except TrustkitError as error:
            report(error)
            status = exit_status(error)
        said = capfd.readouterr()
        return Result(status, said.out, said.err)

    def versions(self) -> object:
        """What the service has of the collection."""
        context = Context(home_flag=None, environ={**os.environ, **self.alice.environment()})
        shown = context.trust().current(Gun.parse(self.gun), context.now()).view.versions
        return {role: version for role, version in shown.items() if role not in ("snapshot", "timestamp")}

    @property
    def keys(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    @property
    def folder(self) -> Path:
        return self.alice.home / "trustkit" / "keys"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    service = RunningService(folder).start()
    alice, bob = (service.principal(name, "AcrPush", "AcrImageSigner") for name in ("alice", "bob"))
    gun = f"{service.host}/app"
    alice.environ |= SIGNER
    bob.environ |= SIGNER
    for tag in ("v1", "v2", "ci-1"):
        alice.push(f"{gun}:{tag}")
    assert_done(alice("sign", f"{gun}:v1"))
    assert_done(bob("pin", "add", gun, "--root-key", alice.root_key()))
    ci = signer_key(alice, "ci", folder)
    assert_done(alice("signer", "add", "bob", "--key", str(signer_key(bob, "bob", folder)), gun))
    assert_done(alice("signer", "add", "ci", "--key", str(ci), "--paths", "ci-*", gun))
    raise_to_two(alice, bob, gun)
    assert_done(bob("sign", f"{gun}:v2"))
    proposed = assert_done(alice("root", "propose", gun, "-o", str(folder / "ceremony")))
    write_image(folder / "layout", "t", "pushed")
    service.stop()
    assert_done(service.admin("recover"))
    service.start()
    assert_done(Person("other", folder / "other")("key", "generate", "--role", "signer", "--name", "new",
        "--public-out", str(folder / "new.pub"), environ=SIGNER))  # fmt: skip
    keys = {row["role"]: row["id"] for row in json.loads(assert_done(alice("key", "list", "--format", "json")).out)}
    words = {
        "gun": gun, "folder": str(folder), "root": keys["root"], "repository": keys["repository"], "digest":
        proposed.out.strip(), "signer": keys["signer"], "proposal": the_proposal(bob, gun),
    }  # fmt: skip
    keep = alice.home / "trustkit" / "keys"
    yield Bench(service, alice, gun, words, {role: keep / f"{key_id}.pem" for role, key_id in keys.items()})
    service.stop()


OTHERS = {"sign, with a signer's key": "repository", "recover": "signer"}
"""A key that would do for the command, too, or for a part of it, and is away."""
COMMANDS = {
    "sign": ("sign {gun}:v1", "repository", "releases"),
    "sign, with a signer's key": ("sign {gun}:ci-1", "signer", "ci"),
    "sign --file": ("sign --file {folder}/refs", "repository", "releases"),
    "push --sign": ("push --sign oci:{folder}/layout:t {gun}:v1", "repository", "releases"),
    "revoke": ("revoke {gun}:v1", "repository", "releases"),
    "init": ("init {gun}/other --root-key {root}", "root", "root"),
    "signer add": ("signer add new --key {folder}/new.pub {gun} --yes", "repository", "targets"),
    "signer add --replace": ("signer add ci --replace --key {folder}/new.pub {gun} --yes", "repository", "targets"),
    "signer remove": ("signer remove ci {gun} --yes", "repository", "targets"),
    "threshold set": ("threshold set {gun} --role releases 1 --yes", "repository", "targets"),
    "propose": ("propose {gun}:v1", "repository", "releases"),
    "approve": ("approve {gun} {proposal} --yes", "repository", "releases"),
    "key rotate, a repository key": ("key rotate {gun} --role repository --yes", "root", "root"),
    "key rotate, a signer's key": ("key rotate {gun} --role signer --name ci --yes", "repository", "targets"),
    "key rotate, online keys": ("key rotate {gun} --role online --yes", "root", "root"),
    "root rotate": ("root rotate {gun} --yes", "root", "root"),
    "root sign": ("root sign {folder}/ceremony --yes --expect {digest}", "root", "root"),
    "renew, targets": ("renew {gun} --role targets", "repository", "targets"),
    "renew, root": ("renew {gun} --role root", "root", "root"),
    "recover": ("recover {gun} --yes", "repository", "targets"),
}


@pytest.fixture
def kept(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The key that a command takes; as it was again after the test, in which nothing was published or made."""
    command = request.node.callspec.params["command"]
    path, other = bench.files[COMMANDS[command][1]], bench.files.get(OTHERS.get(command, ""))
    (Path(bench.words["folder"]) / "refs").write_text(f"{bench.gun}:v1\n")
    data, versions, keys = path.read_bytes(), bench.versions(), bench.keys
    if other:
        other.rename(other.with_suffix(".away"))
    yield path
    if other:
        other.with_suffix(".away").rename(other)
    path.unlink(missing_ok=True)
    private.write_new(path, data)
    assert bench.keys == keys
    assert bench.versions() == versions


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("trouble", ["wrong-passphrase", "key-missing", "wrong-key-role"])
def test_three_errors_of_every_command_that_signs(
    bench: Bench, kept: Path, command: str, trouble: str, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, kind, role = COMMANDS[command]
    environ = {}
    if trouble == "wrong-passphrase":
        environ = {f"TRUSTKIT_{kind.upper()}_PASSPHRASE": "not this one"}
    elif trouble == "key-missing":
        kept.unlink()
    else:
        relabel(kept, KeyRole.ROOT if kind != "root" else KeyRole.SIGNER)
    done = bench.run(arguments, capfd, **environ)
    assert (done.status, done.slug, done.out) == (6, trouble, ""), done.err
    (told,) = (line for line in done.err.splitlines() if line.endswith(f"[{trouble}]"))
    assert kept.stem[:8] in told
    assert str(bench.folder) in told
    assert (KINDS[kind] if trouble == "wrong-passphrase" else role) in told
    assert PASSPHRASE not in done.err
    assert "not this one" not in done.err


def relabel(path: Path, role: KeyRole) -> None:
    """Keeps a key as one of another role."""
    opened = KeyFile.parse(path.read_bytes()).open(PASSPHRASE.encode())
    name = SignerName.parse("somebody") if role is KeyRole.SIGNER else None
    private.replace(path, KeyFile.seal(opened, PASSPHRASE.encode(), role=role, name=name).render())
