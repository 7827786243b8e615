"""The chart, rendered by Helm's own engine, and the plain manifests, which are the same without Helm.

python -m tests.hooks.deploying     # writes docs/deploy/kubernetes anew
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
CHART = DEPLOY / "helm" / "trustkit-admission"
PLAIN = DEPLOY / "kubernetes"
POLICY = """\
version = 1

[[rule]]
pattern = "registry.example.com/*"
root_keys = ["0000000000000000000000000000000000000000000000000000000000000000"]
"""
GIVEN = {"tls": {"certManager": False, "secretName": "given", "caBundle": "Y2E="}}
HEADS = {
    "1-webhook.yaml": "The webhook. Edit policy and image, apply, wait for the rollout, then apply the next file.",
    "2-configuration.yaml": "The API server asks from here on. To remove the webhook, delete this first.",
}
Json = dict[str, Any]


def render(values: Json | None = None, *, name: str = "tk", namespace: str = "trustkit") -> list[Json]:
    """Every object of the chart."""
    from helm_python import Chart

    with Chart.load(CHART) as chart:
        files = chart.render(values={"policy": POLICY, **(values or {})}, name=name, namespace=namespace)
    return [each for _, text in sorted(files.items()) for each in yaml.safe_load_all(text) if each]


def hooks(one: Json) -> list[str]:
    """When Helm makes an object; empty for what belongs to the release."""
    told = (one["metadata"].get("annotations") or {}).get("helm.sh/hook", "")
    return str(told).split(",") if told else []


def plain() -> dict[str, str]:
    """The texts of the plain manifests, by file."""
    objects: list[Json] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "trustkit"}}]
    asked: list[Json] = []
    for one in render(name="trustkit", namespace="trustkit"):
        if one["kind"].endswith("WebhookConfiguration"):
            if "post-install" in hooks(one):
                asked.append(_without_helm(one))
        elif not hooks(one):
            objects.append(_without_helm(one))
            one["metadata"]["namespace"] = "trustkit"
    pairs = zip(HEADS.items(), (objects, asked), strict=True)
    return {name: f"# {head}\n{_dumped(found)}" for (name, head), found in pairs}


def _without_helm(one: Json) -> Json:
    about = one["metadata"]
    about["labels"].pop("app.kubernetes.io/managed-by")
    kept = {key: each for key, each in about.pop("annotations", {}).items() if not key.startswith("helm.sh/")}
    if kept:
        about["annotations"] = kept
    if one["kind"] == "Deployment":
        one["spec"]["template"]["metadata"]["labels"].pop("app.kubernetes.io/managed-by")
        one["spec"]["template"]["metadata"].pop("annotations")
    return one


def _dumped(objects: list[Json]) -> str:
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, explicit_start=True, width=118)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as they are read."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


if __name__ == "__main__":
    PLAIN.mkdir(exist_ok=True)
    for file, text in plain().items():
        (PLAIN / file).write_text(text, encoding="utf-8")
