"""The Kubernetes manifests are valid, unprivileged, and agree with the settings, the probes and the alerts."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from processor.settings import Settings
from tests.docs.pages import parse
from tests.ops.rules import names_in, served

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
VERSION = "1.31"
MANIFESTS: list[dict[str, Any]] = [
    manifest for path in sorted(FOLDER.glob("*.yaml")) for manifest in yaml.safe_load_all(path.read_text())
]
PROBES = ("livenessProbe", "startupProbe", "readinessProbe")
OPERATORS = ("monitoring.coreos.com/v1", "keda.sh/v1alpha1")
PODS = {
    each["metadata"]["name"]: each["spec"]["template"]["spec"]
    for each in MANIFESTS
    if each["kind"] in ("StatefulSet", "Deployment")
}
CLIENTS = {"credits-worker": 9464, "credits-payment-worker": 9465, "credits-console": 8080}
"""Whatever runs, with the port that others reach."""


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
        assert not {"sasl_password", "stripe_api_key", "console_database", "payment_inbox_url"} & names
        assert "/run/secrets" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_every_program_of_the_product_has_its_pod_its_service_and_its_way_through_the_network() -> None:
    assert PODS.keys() == CLIENTS.keys()
    services = {each["metadata"]["name"]: each["spec"] for each in MANIFESTS if each["kind"] == "Service"}
    policies = [each["spec"] for each in MANIFESTS if each["kind"] == "NetworkPolicy"]
    for name, port in CLIENTS.items():
        (offered,) = PODS[name]["containers"][0]["ports"]
        assert offered["containerPort"] == port
        assert [each["targetPort"] for each in services[name]["ports"]] == [offered["name"]]
        chosen = services[name]["selector"]
        labels = chosen | {"app.kubernetes.io/part-of": "communication-credits"}
        let_in = {
            rule["port"]
            for policy in policies
            if policy["podSelector"]["matchLabels"].items() <= labels.items()
            for way in policy.get("ingress", [])
            for rule in way["ports"]
        }
        assert port in let_in


@pytest.mark.parametrize("name", PODS)
def test_the_arguments_of_a_pod_are_taken_by_the_command_line(name: str) -> None:
    words = PODS[name]["containers"][0]["args"]
    assert parse(f"credits {' '.join(words)}")[1:] == words[:1]


def test_the_payment_worker_and_the_console_are_probed_where_they_answer() -> None:
    payment, console = (PODS[name]["containers"][0] for name in ("credits-payment-worker", "credits-console"))
    assert payment["args"][payment["args"].index("--metrics-port") + 1] == str(payment["ports"][0]["containerPort"])
    assert console["args"][console["args"].index("--port") + 1] == str(console["ports"][0]["containerPort"])
    paths = {probe: (payment[probe]["httpGet"]["path"], console[probe]["httpGet"]["path"]) for probe in PROBES}
    assert paths == {
        "livenessProbe": ("/live", "/login"),
        "startupProbe": ("/live", "/login"),
        "readinessProbe": ("/ready", "/login"),
    }


def test_one_console_writes_to_the_database_at_a_time() -> None:
    (deployment,) = (each["spec"] for each in MANIFESTS if each["kind"] == "Deployment")
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}


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
