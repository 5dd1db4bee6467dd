"""The Kubernetes manifests are valid, unprivileged, and agree with the settings, the probes and the alerts."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from processor.settings import Settings
from tests.ops.rules import names_in, served

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
VERSION = "1.31"
MANIFESTS: list[dict[str, Any]] = [
    manifest for path in sorted(FOLDER.glob("*.yaml")) for manifest in yaml.safe_load_all(path.read_text())
]
OPERATORS = ("monitoring.coreos.com/v1", "keda.sh/v1alpha1")
PODS = {
    each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in MANIFESTS if each["kind"] == "StatefulSet"
}


def name_of(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


@pytest.mark.parametrize("manifest", [each for each in MANIFESTS if each["apiVersion"] not in OPERATORS], ids=name_of)
def test_a_manifest_is_what_the_published_schemas_allow(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_the_schemas_would_find_a_mistake() -> None:
    broken = next(each for each in MANIFESTS if each["kind"] == "StatefulSet") | {"spec": {"replicas": "two"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSION, strict=True)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_the_least_privilege(name: str) -> None:
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", PODS)
def test_every_variable_is_a_setting_and_secrets_are_files(name: str) -> None:
    for container in PODS[name]["containers"]:
        names = {each["name"].removeprefix("CREDITS_").lower() for each in container["env"]}
        assert names <= set(Settings.model_fields)
        assert not {"sasl_password", "stripe_api_key"} & names
        assert "/run/secrets" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_a_worker_is_probed_where_it_answers_and_may_take_its_time_for_stopping() -> None:
    pod = PODS["credits-worker"]
    worker = pod["containers"][0]
    values = {each["name"]: each.get("value") for each in worker["env"]}
    assert int(values["CREDITS_SHUTDOWN_TIMEOUT_S"]) < pod["terminationGracePeriodSeconds"]
    assert worker["ports"] == [{"name": "metrics", "containerPort": Settings().metrics_port}]
    assert worker["livenessProbe"]["httpGet"]["path"] == "/live"
    assert worker["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_workers_are_scaled_by_a_metric_that_exists_and_never_to_none() -> None:
    scaled = next(each["spec"] for each in MANIFESTS if each["kind"] == "ScaledObject")
    assert scaled["minReplicaCount"] >= 2
    assert names_in(scaled["triggers"][0]["metadata"]["query"]) <= served().keys()
