"""The chart and the manifests: by Helm's engine and Kubernetes' schemas, and as safe as they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python import HelmError, lint

from tests.hooks.deploying import CHART, GIVEN, PLAIN, POLICY, hooks, plain, render
from trustkit.core.policyfile import parse
from trustkit.hooks.admission_app import SECONDS
from trustkit.hooks.admission_review import EPHEMERAL, OPERATIONS, POD, WORKLOADS

Json = dict[str, Any]
VERSIONS = ("1.28", "1.31", "1.33")
VALUES: dict[str, Json] = {
    "defaults": {},
    "a given certificate": GIVEN,
    "everything": {
        "pullSecret": "pull",
        "serviceCa": "authorities",
        "detect": True,
        "exemptNamespaces": ["cert-manager", "kube-system"],
        "imagePullSecrets": [{"name": "pull"}],
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "tls": {"certManager": True, "issuerRef": {"name": "ours", "kind": "ClusterIssuer"}},
    },
}


def of_kind(objects: list[Json], kind: str) -> list[Json]:
    return [one for one in objects if one["kind"] == kind]


def configurations(objects: list[Json]) -> list[Json]:
    return [one for one in objects if one["kind"].endswith("WebhookConfiguration")]


@pytest.mark.parametrize("case", VALUES)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_meets_the_schema_of_kubernetes(case: str, version: str) -> None:
    checked = 0
    for one in render(VALUES[case]):
        if one["apiVersion"] == "cert-manager.io/v1":
            continue  # not Kubernetes' own
        kubernetes_validate.validate(one, version, strict=True)
        checked += 1
    assert checked == 10


def test_the_plain_manifests_are_the_chart_without_helm() -> None:
    assert plain() == {file.name: file.read_text(encoding="utf-8") for file in sorted(PLAIN.glob("*.yaml"))}
    for file in PLAIN.glob("*.yaml"):
        for one in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if one["apiVersion"] != "cert-manager.io/v1":
                kubernetes_validate.validate(one, VERSIONS[-1], strict=True)


def test_helm_finds_nothing_to_mend() -> None:
    found = lint(str(CHART))
    assert found["errors"] == []
    assert [each for each in found["messages"] if each["severity"] > 1] == []


@pytest.mark.parametrize(
    "values",
    [
        {"policy": ""},
        {"tls": {"certManager": False}},
        {"tls": {"certManager": False, "secretName": "given"}},
        {"exemptNamespaces": ["UPPER"]},
        {"polcy": "x"},
        {"timeoutSeconds": 1},
    ],
    ids=["no policy", "no certificate", "no authority", "a namespace that can't be", "a typo", "no time at all"],
)
def test_values_that_would_lock_a_cluster_or_check_nothing_are_refused(values: Json) -> None:
    with pytest.raises(HelmError):
        render(values)


def test_the_rules_are_about_all_that_the_code_judges_and_nothing_else() -> None:
    mutate, validate = (one["webhooks"][0] for one in configurations(render()) if one["webhooks"])

    def asked(webhook: Json) -> set[tuple[str, str, str]]:
        assert all(rule["operations"] == list(OPERATIONS) for rule in webhook["rules"])
        assert all(rule["scope"] == "Namespaced" for rule in webhook["rules"])
        return {
            (group, version, resource)
            for rule in webhook["rules"]
            for group in rule["apiGroups"]
            for version in rule["apiVersions"]
            for resource in rule["resources"]
        }

    pods = {("", "v1", "pods"), ("", "v1", f"pods/{EPHEMERAL}")}
    assert (POD.group, POD.version, POD.resource) in pods
    assert asked(mutate) == pods
    assert asked(validate) == pods | {(each.group, each.version, each.resource) for each in WORKLOADS}


@pytest.mark.parametrize("case", VALUES)
def test_a_cluster_is_never_locked_out_of_itself(case: str) -> None:
    objects = render(VALUES[case])
    for one in configurations(objects):
        for webhook in one["webhooks"]:
            (expression,) = webhook["namespaceSelector"]["matchExpressions"]
            assert (expression["key"], expression["operator"]) == ("kubernetes.io/metadata.name", "NotIn")
            assert {"kube-system", "trustkit"} <= set(expression["values"])
            assert webhook["failurePolicy"] == "Fail"
            assert webhook["timeoutSeconds"] == 10 > SECONDS
            assert (webhook["sideEffects"], webhook["matchPolicy"]) == ("None", "Equivalent")
            assert webhook["admissionReviewVersions"] == ["v1"]
    (deployment,) = of_kind(objects, "Deployment")
    (budget,) = of_kind(objects, "PodDisruptionBudget")
    assert (deployment["spec"]["replicas"], budget["spec"]["minAvailable"]) == (2, 1)
    assert deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_api_server_asks_after_the_pods_are_ready_and_stops_before_they_go() -> None:
    objects = render()
    when: dict[str, list[str]] = {}
    for one in sorted(
        objects, key=lambda one: int(one["metadata"].get("annotations", {}).get("helm.sh/hook-weight", 0))
    ):
        for hook in hooks(one):
            when.setdefault(hook, []).append(one["kind"])
    both = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]
    assert when == {"post-install": ["Job", *both], "post-upgrade": ["Job", *both], "pre-delete": both}
    made, removed = (
        [one for one in configurations(objects) if name in hooks(one)] for name in ("post-install", "pre-delete")
    )
    assert all(one["webhooks"] == [] for one in removed)
    assert all(
        "before-hook-creation" in one["metadata"]["annotations"]["helm.sh/hook-delete-policy"] for one in removed
    )
    assert [one["metadata"]["name"] for one in made] == [one["metadata"]["name"] for one in removed]


@pytest.mark.parametrize("case", VALUES)
def test_containers_are_unprivileged_and_read_only(case: str) -> None:
    found = [one["spec"]["template"]["spec"] for one in render(VALUES[case]) if one["kind"] in ("Deployment", "Job")]
    assert len(found) == 2
    for spec in found:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]


def test_the_policy_of_the_config_map_is_one_and_its_path_is_what_the_webhook_reads() -> None:
    objects = render()
    (config,) = of_kind(objects, "ConfigMap")
    policy = parse(config["data"]["policy.toml"].encode(), where="policy.toml", root_file=lambda _: b"")
    assert policy.rules[0].root_keys
    (deployment,) = of_kind(objects, "Deployment")
    changed = of_kind(render({"policy": POLICY + "# changed\n"}), "Deployment")[0]
    key = "checksum/policy"
    assert (
        deployment["spec"]["template"]["metadata"]["annotations"][key]
        != (changed["spec"]["template"]["metadata"]["annotations"][key])
    )


@pytest.mark.parametrize("case", VALUES)
def test_the_arguments_of_the_containers_are_the_commands_own(case: str, tmp_path: Path) -> None:
    """Each command line is taken as it stands: what is missing is a file, never an option."""
    for one in render(VALUES[case]):
        if one["kind"] in ("Deployment", "Job"):
            arguments = one["spec"]["template"]["spec"]["containers"][0]["args"]
            command = [sys.executable, "-m", "trustkit", *arguments]
            said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stderr
            assert "does not exist" in said, said


def test_credentials_and_authorities_are_where_the_environment_says() -> None:
    (deployment,) = of_kind(render(VALUES["everything"]), "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    environ = {each["name"]: each["value"] for each in container["env"]}
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert environ["DOCKER_CONFIG"] == mounts["docker"]
    assert volumes["docker"]["secret"]["items"] == [{"key": ".dockerconfigjson", "path": "config.json"}]
    assert Path(environ["SSL_CERT_FILE"]).parent == Path(mounts["ca"])
    assert environ["TRUSTKIT_HOME"].startswith(mounts["home"] + "/")
    assert "--exempt-namespace=cert-manager" in container["args"]
    assert "--detect" in container["args"]
