"""The webhook as a process, over TLS, against a real trust service: what the API server would see."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hooks.webhook import TEMPLATES, UID, Json, Webhook, patched, pod, review
from tests.service import Person, RunningService, run


@dataclass(frozen=True)
class Cluster:
    """A webhook with a signed and an unsigned tag at the service that it asks."""

    service: RunningService
    alice: Person
    webhook: Webhook
    digest: str

    def ref(self, text: str) -> str:
        return f"{self.service.host}/{text}"


def rule(pattern: str, key: str, more: str = "") -> str:
    return f'[[rule]]\npattern = "{pattern}"\nroot_keys = ["{key}"]\n{more}\n'


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    service = RunningService(folder).start()
    alice = service.principal("alice", "AcrPush", "AcrImageSigner")
    carol = service.principal("carol", "AcrPull")
    digest = alice.push(f"{service.host}/app:v1")
    alice.push(f"{service.host}/app:dev", "another")
    assert alice("sign", f"{service.host}/app:v1").status == 0
    policy = "version = 1\n" + rule(f"{service.host}/*", alice.root_key())
    policy += '[[rule]]\npattern = "docker.io/*"\nmode = "unsafe_allow_unsigned"\n'
    environ = {"DOCKER_CONFIG": carol.environment()["DOCKER_CONFIG"]}
    webhook = Webhook(folder / "webhook", policy, "--exempt-namespace", "exempt", environ=environ).start()
    yield Cluster(service, alice, webhook, digest)
    assert webhook.stop() == 0
    service.stop()


def test_curl_gets_a_patch_with_the_signed_digest_or_the_reason(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "review.json"

    def curl(asked: Json) -> Json:
        file.write_text(json.dumps(asked))
        command = ["curl", "-sSk", f"{cluster.webhook.url}/mutate", "-H", "content-type: application/json"]
        done = subprocess.run([*command, "--data-binary", f"@{file}"], capture_output=True, check=True, timeout=60)
        response: Json = json.loads(done.stdout)["response"]
        assert response["uid"] == UID
        return response

    signed = review("Pod", pod(cluster.ref("app:v1"), initContainers=[cluster.ref("app:v1")]))
    done = patched(signed, curl(signed))["spec"]
    pinned = f"{cluster.ref('app:v1')}@{cluster.digest}"
    assert [each["image"] for each in done["containers"] + done["initContainers"]] == [pinned, pinned]
    refused = curl(review("Pod", pod(cluster.ref("app:dev"))))
    assert (refused["allowed"], refused["status"]["code"]) == (False, 403)
    for part in (cluster.ref("app:dev"), f"the rule {cluster.service.host}/*", "is not signed", "trustkit sign"):
        assert part in refused["status"]["message"]


def test_a_pod_that_was_patched_passes_both_webhooks_again_unchanged(cluster: Cluster) -> None:
    asked = review("Pod", pod(cluster.ref("app:v1")))
    spec = patched(asked, cluster.webhook.mutate(asked).response)["spec"]
    for again in (cluster.webhook.mutate(review("Pod", spec)), cluster.webhook.validate(review("Pod", spec))):
        assert again.allowed
        assert "patch" not in again.response
    tag_alone = cluster.webhook.validate(asked)
    assert "names no digest" in tag_alone.message


def test_tag_and_digest_have_to_agree(cluster: Cluster) -> None:
    other = f"{cluster.ref('app:v1')}@sha256:{'ab' * 32}"
    assert "is signed for" in cluster.webhook.mutate(review("Pod", pod(other))).message
    unknown = f"{cluster.ref('app')}@sha256:{'ab' * 32}"
    assert "No signed tag" in cluster.webhook.mutate(review("Pod", pod(unknown))).message
    assert cluster.webhook.mutate(review("Pod", pod(f"{cluster.ref('app')}@{cluster.digest}"))).allowed


def test_familiar_names_are_written_out_so_that_no_node_reads_them_otherwise(cluster: Cluster) -> None:
    asked = review("Pod", pod("alpine", "docker.io/team/tool:1"))
    done = patched(asked, cluster.webhook.mutate(asked).response)["spec"]["containers"]
    assert [each["image"] for each in done] == ["docker.io/library/alpine:latest", "docker.io/team/tool:1"]


@pytest.mark.parametrize("image", ["BAD NAME", "a" * 5000, "x@sha512:" + "ab" * 64, "\x1b[2J", "ab" * 32, "../etc"])
def test_a_name_that_is_none_is_denied(cluster: Cluster, image: str) -> None:
    denied = cluster.webhook.mutate(review("Pod", pod(cluster.ref("app:v1"), image)))
    assert "is not an image reference" in denied.message or "is an image's id" in denied.message
    assert denied.message.isprintable()
    assert len(denied.message) < 1000


def test_a_name_without_a_rule_is_denied(cluster: Cluster) -> None:
    message = cluster.webhook.mutate(review("Pod", pod("ghcr.io/other/app:1"))).message
    assert "ghcr.io/other/app:1 is refused by the rule none" in message


@pytest.mark.parametrize("kind", TEMPLATES)
def test_templates_are_judged_and_left_alone(cluster: Cluster, kind: str) -> None:
    group, wrap = TEMPLATES[kind]
    for path in (cluster.webhook.mutate, cluster.webhook.validate):
        allowed = path(review(kind, wrap(pod(cluster.ref("app:v1"))), group=group))
        assert allowed.allowed
        assert "patch" not in allowed.response
        assert "is not signed" in path(review(kind, wrap(pod(cluster.ref("app:dev"))), group=group)).message


def test_an_exempt_namespace_says_so(cluster: Cluster) -> None:
    answered = cluster.webhook.mutate(review("Pod", pod(cluster.ref("app:dev")), namespace="exempt"))
    assert answered.allowed
    assert answered.response["auditAnnotations"] == {"skipped": "the namespace exempt is exempt"}


def test_a_dry_run_is_answered_alike(cluster: Cluster) -> None:
    asked = review("Pod", pod(cluster.ref("app:v1")))
    real = cluster.webhook.mutate(asked).response
    asked["request"]["dryRun"] = True
    assert cluster.webhook.mutate(asked).response == real


ONE = json.dumps(review("Pod", pod("a"))).encode()
BAD: dict[str, tuple[bytes, dict[str, str], int]] = {
    "nothing": (b"", {}, 400),
    "HTML": (b"<html>", {}, 400),
    "a list": (b"[1]", {}, 400),
    "another kind": (b'{"apiVersion":"v1","kind":"Pod"}', {}, 400),
    "v1beta1": (json.dumps({**review("Pod", {}), "apiVersion": "admission.k8s.io/v1beta1"}).encode(), {}, 400),
    "a number as uid": (json.dumps(review("Pod", {})).replace(f'"{UID}"', "7").encode(), {}, 400),
    "a member twice": (b'{"kind":"AdmissionReview","kind":"AdmissionReview"}', {}, 400),
    "deep": (b'{"a":' * 100_000, {}, 413),
    "over 8 MiB": (b" " * (8 * 1024 * 1024 + 1), {}, 413),
    "a million entries": (json.dumps({"a": [0] * 1_000_000}).encode(), {}, 413),
    "a form": (ONE, {"content_type": "application/x-www-form-urlencoded"}, 400),
    "no type": (ONE, {"content_type": ""}, 400),
    "compressed": (ONE, {"content_encoding": "gzip"}, 400),
}  # fmt: skip


@pytest.mark.parametrize("path", ["/mutate", "/validate"])
@pytest.mark.parametrize("case", BAD)
def test_what_is_no_review_is_never_allowed_and_never_breaks_anything(cluster: Cluster, case: str, path: str) -> None:
    body, headers, status = BAD[case]
    answered = cluster.webhook.post(path, body, **headers)
    assert answered.status == status
    assert answered.body["error"]["message"]
    assert "response" not in answered.body


def test_the_largest_reviews_are_answered_in_time(cluster: Cluster) -> None:
    """A thousand containers of as many images; one more; and 8 MiB of an object around one image."""
    many = [cluster.ref(f"app:x{number}") for number in range(1000)]
    began = time.monotonic()
    assert "and 980 more" in cluster.webhook.mutate(review("Pod", pod(*many))).message
    assert cluster.webhook.mutate(review("Pod", pod(cluster.ref("app:fresh")))).message, "nobody waits for the rest"
    assert time.monotonic() - began < 12
    assert "more than 1000 images" in cluster.webhook.mutate(review("Pod", pod(*many, "alpine"))).message
    huge = review("Pod", pod(cluster.ref("app:v1")), metadata={"annotations": {"x": "y" * (8 * 1024 * 1024 - 2000)}})
    assert cluster.webhook.mutate(huge).allowed
    assert time.monotonic() - began < 25


def test_a_review_of_a_kind_that_nobody_judges_is_denied_with_its_uid(cluster: Cluster) -> None:
    message = cluster.webhook.validate(review("ConfigMap", {})).message
    assert "nothing that is judged here" in message


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods_are_no_reviews(cluster: Cluster, method: str) -> None:
    context = ssl.create_default_context(cafile=str(cluster.webhook.authority.file))
    host, _, port = cluster.webhook.url.removeprefix("https://").partition(":")
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=30)
    for path, status in (("/mutate", 400), ("/elsewhere", 404)):
        connection.request(method, path)
        answer = connection.getresponse()
        assert (answer.status, bool(json.loads(answer.read())["error"]["message"])) == (status, True)
    connection.close()


def test_a_body_that_stops_coming_is_given_up(cluster: Cluster) -> None:
    context = ssl.create_default_context(cafile=str(cluster.webhook.authority.file))
    host, _, port = cluster.webhook.url.removeprefix("https://").partition(":")
    began = time.monotonic()
    head = "POST /mutate?timeout=2s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9"
    with (
        socket.create_connection((host, int(port)), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname=host) as wire,
    ):
        wire.sendall(f"{head}\r\n\r\n{{".encode())
        assert wire.recv(100).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 8


def test_health_readiness_and_metrics(cluster: Cluster) -> None:
    assert cluster.webhook.get("/healthz") == (200, b'{"status":"ok"}')
    assert cluster.webhook.get("/readyz")[0] == 200
    cluster.webhook.mutate(review("Pod", pod(cluster.ref("app:v1"))))
    status, text = cluster.webhook.get("/metrics")
    assert status == 200
    lines = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))
    assert float(lines['trustkit_admission_reviews_total{phase="mutate",result="pinned"}']) >= 1
    assert float(lines['trustkit_admission_verdicts_total{kept="no"}']) >= 1
    assert len(lines) < 50, "no label has many values"
    assert cluster.service.host not in text.decode()


def test_a_log_line_for_each_refusal_and_none_that_a_terminal_obeys(cluster: Cluster) -> None:
    cluster.webhook.mutate(review("Pod", pod("\x1b[2J\nfake line")))
    log = cluster.webhook.log.read_text()
    assert "refused at /mutate: Pod team/web" in log
    assert "\x1b" not in log
    assert "Traceback" not in log
    assert not any(line.startswith("fake line") for line in log.splitlines())


def test_two_hundred_at_once(cluster: Cluster) -> None:
    asked = [review("Pod", pod(cluster.ref("app:v1" if number % 2 else "app:dev"))) for number in range(200)]
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(cluster.webhook.mutate, asked))
    assert [each.allowed for each in answers] == [bool(number % 2) for number in range(200)]


def test_waiting_for_it_ends_when_it_is_ready_and_tells_why_it_is_not(cluster: Cluster, tmp_path: Path) -> None:
    ca = str(cluster.webhook.authority.file)
    environ = {"TRUSTKIT_HOME": str(tmp_path)}
    assert run(["admission", "wait", cluster.webhook.url, "--ca", ca, "--seconds", "20"], environ).status == 0
    stranger = run(["admission", "wait", cluster.webhook.url, "--seconds", "1"], environ)
    assert (stranger.status, stranger.slug) == (4, "timed-out")
    assert "certificate" in stranger.err.lower()
    plain = run(["admission", "wait", "http://127.0.0.1:1"], environ)
    assert (plain.status, plain.slug) == (2, "invalid-setting")


def test_detection_warns_and_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    policy = cluster.webhook.policy.read_text()
    webhook = Webhook(tmp_path, policy, "--detect", environ=cluster.webhook.environ).start()
    try:
        found = webhook.mutate(review("Pod", pod(cluster.ref("app:dev"), "BAD NAME", cluster.ref("app:v1"))))
        assert found.allowed
        assert "patch" not in found.response
        assert ["is not signed" in each for each in found.response["warnings"]] == [True, False]
        assert webhook.mutate(review("ConfigMap", {})).allowed
    finally:
        assert webhook.stop() == 0


def test_a_renewed_certificate_is_taken_up_and_half_a_one_is_not(cluster: Cluster, tmp_path: Path) -> None:
    webhook = Webhook(tmp_path, cluster.webhook.policy.read_text(), environ=cluster.webhook.environ).start()
    host, _, port = webhook.url.removeprefix("https://").partition(":")

    def served() -> str:
        return ssl.get_server_certificate((host, int(port)), timeout=30)

    def until(true: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not true():
            assert time.monotonic() < end
            time.sleep(0.2)

    try:
        first = served()
        webhook.certified.key.write_text("no key")
        until(lambda: "can't be used" in webhook.log.read_text())
        assert served() == first
        renewed = webhook.reissue(90).certificate.read_text()
        until(lambda: served().split() == renewed.split())
        assert webhook.mutate(review("Pod", pod(cluster.ref("app:v1")))).allowed
    finally:
        assert webhook.stop() == 0


def test_a_service_that_hangs_denies_in_time_and_holds_up_nobody_else(cluster: Cluster, tmp_path: Path) -> None:
    """A host that takes connections and says nothing; others are answered meanwhile, and the warm ones at once."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        key = cluster.alice.root_key()
        policy = "version = 1\n" + rule(f"{host}/*", key) + rule(f"{cluster.service.host}/*", key)
        webhook = Webhook(tmp_path, policy, environ=cluster.webhook.environ).start()
        try:
            good = review("Pod", pod(cluster.ref("app:v1")))
            assert webhook.mutate(good).allowed
            hung: list[str] = []
            ask = lambda: hung.append(webhook.mutate(review("Pod", pod(f"{host}/app:v1"))).message)  # noqa: E731
            began = time.monotonic()
            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            assert webhook.mutate(good).allowed
            assert webhook.mutate(
                review("Deployment", TEMPLATES["Deployment"][1](pod(cluster.ref("app:v1"))), group="apps")
            ).allowed
            assert time.monotonic() - began < 4
            for thread in threads:
                thread.join()
            assert time.monotonic() - began < 10
            assert len(hung) == 4
            assert all(f"{host}/app:v1" in message and "try again" in message for message in hung)
        finally:
            webhook.stop()


REFUSED_STARTS = {
    "a typo": ('version = 1\n[[rule]]\npattern = "a.example/*"\nmodus = "x"\n', [], "line 4"),
    "no TOML": ("version = ", [], "line 1"),
    "an empty namespace": ("version = 1\n", ["--exempt-namespace", ""], "namespace is empty"),
    "no address": ("version = 1\n", ["--listen", "nowhere:x"], "not a registry host"),
}


@pytest.mark.parametrize("case", REFUSED_STARTS)
def test_it_refuses_to_start_and_says_why(cluster: Cluster, tmp_path: Path, case: str) -> None:
    text, more, words = REFUSED_STARTS[case]
    policy, tls = tmp_path / "policy.toml", cluster.webhook.certified
    policy.write_text(text)
    files = ["--tls-cert", str(tls.certificate), "--tls-key", str(tls.key), "--policy", str(policy)]
    command = ["admission", "serve", "--listen", "127.0.0.1:0", *files, *more]
    refused = run(command, {"TRUSTKIT_HOME": str(tmp_path / "home")})
    assert (refused.status, words in refused.err) == (2, True), refused.err


def test_it_is_not_ready_where_nothing_could_be_allowed(tmp_path: Path) -> None:
    for name, policy, words in (
        ("empty", "version = 1\n", "has no rule"),
        ("unpinned", 'version = 1\n[[rule]]\npattern = "registry.example.com/*"\n', "there is no pin"),
    ):
        webhook = Webhook(tmp_path / name, policy).start()
        try:
            status, body = webhook.get("/readyz")
            assert (status, words in body.decode()) == (503, True), body
            assert webhook.get("/healthz")[0] == 200
            assert not webhook.mutate(review("Pod", pod("registry.example.com/app:v1"))).allowed
        finally:
            webhook.stop()
