"""A running admission webhook, and the reviews that an API server would send it."""

from __future__ import annotations

import base64
import copy
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from tests.service import Process, start
from tests.signer.certificates import SERVER, Authority, Certified

UID = "705ab4f5-6393-11e8-b7cc-42010a800002"
Json = dict[str, Any]


def review(
    kind: str,
    spec: Json,
    *,
    old: Json | None = None,
    operation: str = "",
    group: str = "",
    subresource: str = "",
    namespace: str = "team",
    metadata: Json | None = None,
    old_metadata: Json | None = None,
    user: Json | None = None,
) -> Json:
    """An AdmissionReview about an object of ``kind``; ``old`` is what its spec was."""

    def made(what: Json, about: Json | None) -> Json:
        version = f"{group}/v1" if group else "v1"
        body = {"template": what["template"]} if kind == "PodTemplate" else {"spec": what}
        return {"apiVersion": version, "kind": kind, "metadata": {"name": "web", **(about or {})}, **body}

    request: Json = {
        "uid": UID,
        "kind": {"group": group, "version": "v1", "kind": kind},
        "resource": {"group": group, "version": "v1", "resource": f"{kind.lower()}s"},
        "name": "web",
        "namespace": namespace,
        "operation": operation or ("UPDATE" if old is not None else "CREATE"),
        "userInfo": user or {"username": "ann", "groups": ["system:authenticated"]},
        "object": made(spec, metadata),
        "oldObject": None if old is None else made(old, old_metadata or metadata),
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    if subresource:
        request["subResource"] = subresource
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def pod(*images: str, **lists: list[str]) -> Json:
    """A PodSpec with these containers; other lists by their name."""

    def containers(texts: list[str] | tuple[str, ...], prefix: str) -> list[Json]:
        return [{"name": f"{prefix}{number}", "image": text} for number, text in enumerate(texts)]

    return {
        "containers": containers(images, "c"),
        **{name: containers(each, name[0]) for name, each in lists.items()},
    }


TEMPLATES = {
    "PodTemplate": ("", lambda spec: {"template": {"spec": spec}}),
    "ReplicationController": ("", lambda spec: {"template": {"spec": spec}}),
    "Deployment": ("apps", lambda spec: {"template": {"spec": spec}}),
    "ReplicaSet": ("apps", lambda spec: {"template": {"spec": spec}}),
    "StatefulSet": ("apps", lambda spec: {"template": {"spec": spec}}),
    "DaemonSet": ("apps", lambda spec: {"template": {"spec": spec}}),
    "Job": ("batch", lambda spec: {"template": {"spec": spec}}),
    "CronJob": ("batch", lambda spec: {"jobTemplate": {"spec": {"template": {"spec": spec}}}}),
}
"""Kinds with a template: their group, and the way from a PodSpec to their spec."""


def patched(asked: Json, response: Json) -> Json:
    """The object after the response's patch, by a library that isn't ours."""
    import jsonpatch

    assert response["patchType"] == "JSONPatch"
    patch = json.loads(base64.b64decode(response["patch"], validate=True))
    done: Json = jsonpatch.apply_patch(copy.deepcopy(asked["request"]["object"]), patch)
    return done


@dataclass(frozen=True)
class Answered:
    """What the webhook has answered."""

    status: int
    body: Json

    @property
    def response(self) -> Json:
        assert self.status == 200, self.body
        assert (self.body["apiVersion"], self.body["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        found: Json = self.body["response"]
        assert found["uid"] == UID
        return found

    @property
    def allowed(self) -> bool:
        found = self.response["allowed"]
        assert isinstance(found, bool)
        return found

    @property
    def message(self) -> str:
        status = self.response["status"]
        assert status["code"] == 403
        assert not self.allowed
        return str(status["message"])


class Webhook:
    """``trustkit admission serve`` on a free port of loopback.

    Args:
        folder: where its certificate, policy and home lie.
        policy: the text of its policy.
        environ: more environment.
    """

    def __init__(self, folder: Path, policy: str, *arguments: str, environ: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(folder / "ca")
        self.certified = self.authority.issue("webhook", SERVER)
        self.policy, self.log, self.home = folder / "policy.toml", folder / "log", folder / "home"
        self.policy.write_text(policy)
        self.arguments, self.environ = arguments, environ or {}
        self.url = ""
        self.process: Process | None = None
        self._pool: urllib3.PoolManager | None = None

    def start(self) -> Webhook:
        tls = ["--tls-cert", str(self.certified.certificate), "--tls-key", str(self.certified.key)]
        command = ["admission", "serve", "--listen", "127.0.0.1:0", *tls]
        command += ["--policy", str(self.policy), *self.arguments]
        with self.log.open("a") as log:
            self.process = start(command, {"TRUSTKIT_HOME": str(self.home), **self.environ}, log)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("https://"), self.log.read_text()
        context = ssl.create_default_context(cafile=str(self.authority.file))
        self._pool = urllib3.PoolManager(ssl_context=context, timeout=30.0, retries=False)
        return self

    def stop(self) -> int:
        assert self.process is not None
        if self._pool is not None:
            self._pool.clear()
        self.process.terminate()
        status = self.process.wait(20)
        if self.process.stdout:
            self.process.stdout.close()
        return status

    def reissue(self, days: int) -> Certified:
        """Another certificate and key in the place of the first."""
        return self.authority.issue("webhook", SERVER, days=days)

    def get(self, path: str) -> tuple[int, bytes]:
        assert self._pool is not None
        answer = self._pool.request("GET", self.url + path)
        return answer.status, answer.data

    def post(self, path: str, body: bytes, **headers: str) -> Answered:
        assert self._pool is not None
        sent = {
            "content-type": "application/json",
            **{name.replace("_", "-"): each for name, each in headers.items()},
        }
        answer = self._pool.request("POST", self.url + path, body=body, headers=sent)
        return Answered(answer.status, json.loads(answer.data))

    def mutate(self, asked: Json) -> Answered:
        return self.post("/mutate?timeout=10s", json.dumps(asked).encode())

    def validate(self, asked: Json) -> Answered:
        return self.post("/validate?timeout=10s", json.dumps(asked).encode())
