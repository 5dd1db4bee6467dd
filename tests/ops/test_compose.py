"""The compose file says what the code understands: commands, settings, ports; pinned images and least privilege."""

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from processor.cli import main
from processor.contracts.decks import SYNTHETIC
from processor.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("communication-credits:")]
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
PROMETHEUS: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())


def test_the_services_are_those_of_the_product() -> None:
    assert OURS == ["topics", "worker-1", "worker-2", "payment-worker", "auditor", "console"]
    assert set(SERVICES) == {"kafka", "postgres", *OURS, "prometheus", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_to_a_full_version(name: str) -> None:
    numbers = 2 if name == "postgres" else 3  # PostgreSQL's versions have two since its tenth
    assert re.fullmatch(rf"[a-z/\-]+:v?\d+(\.\d+){{{numbers - 1}}}", SERVICES[name]["image"])


def test_the_image_has_the_version_of_the_package() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert {SERVICES[name]["image"] for name in OURS} == {f"communication-credits:{version[1]}"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_the_least_privilege(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_every_credits_command_line_is_taken_by_click(name: str) -> None:
    command: click.Command = main
    words = list(SERVICES[name]["command"])
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    with command.make_context(name, words):
        pass


@pytest.mark.parametrize("name", OURS)
def test_every_environment_variable_is_a_setting_and_its_value_valid(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert {variable.removeprefix("CREDITS_").lower() for variable in environment} <= set(Settings.model_fields)
    Settings(**{variable.removeprefix("CREDITS_").lower(): value for variable, value in environment.items()})


def test_services_start_when_what_they_need_is_there() -> None:
    waits = {
        name: {need: rule["condition"] for need, rule in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }
    assert waits == {
        "kafka": {},
        "topics": {"kafka": "service_healthy"},
        "worker-1": {"topics": "service_completed_successfully"},
        "worker-2": {"topics": "service_completed_successfully"},
        "payment-worker": {"topics": "service_completed_successfully"},
        "auditor": {"topics": "service_completed_successfully"},
        "postgres": {},
        "console": {"postgres": "service_healthy", "topics": "service_completed_successfully"},
        "prometheus": {"worker-1": "service_healthy"},
        "grafana": {"prometheus": "service_healthy"},
    }
    assert [name for name, service in SERVICES.items() if "healthcheck" not in service] == ["topics"]
    assert SERVICES["topics"]["restart"] == "no"


def test_whatever_must_survive_a_container_is_on_a_named_volume() -> None:
    mounted = {volume.split(":")[0] for s in SERVICES.values() for volume in s.get("volumes", []) if volume[0] != "."}
    assert mounted == set(COMPOSE["volumes"])
    for name in ("worker-1", "worker-2", "payment-worker"):
        directory = SERVICES[name]["environment"]["CREDITS_DATA_DIR"]
        assert [volume.split(":")[1] for volume in SERVICES[name]["volumes"]] == [directory]
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (ROOT / volume.split(":")[0]).exists()
                assert volume.endswith(":ro")


def test_two_containers_never_share_a_volume() -> None:
    mounted = [volume for s in SERVICES.values() for volume in s.get("volumes", []) if volume[0] != "."]
    assert len(mounted) == len(set(mounted))


def test_kafka_has_all_that_a_single_node_needs_because_one_variable_discards_the_defaults() -> None:
    kafka = SERVICES["kafka"]["environment"]
    one = [name for name in kafka if name.endswith(("REPLICATION_FACTOR", "MIN_ISR"))]
    assert len(one) == 5
    assert {kafka[name] for name in one} == {1}
    names = {listener.split("://")[0] for listener in kafka["KAFKA_LISTENERS"].split(",")}
    assert {pair.split(":")[0] for pair in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")} == names
    advertised = dict(each.split("://") for each in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert {*advertised, kafka["KAFKA_CONTROLLER_LISTENER_NAMES"]} == names
    assert kafka["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised
    assert {SERVICES[name]["environment"]["CREDITS_BROKERS"] for name in OURS} <= set(advertised.values())
    assert kafka["KAFKA_LOG_DIRS"] in {volume.split(":")[1] for volume in SERVICES["kafka"]["volumes"]}
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_prometheus_scrapes_the_ports_that_are_served() -> None:
    targets = {t for job in PROMETHEUS["scrape_configs"] for group in job["static_configs"] for t in group["targets"]}
    commands = {name: SERVICES[name]["command"] for name in ("payment-worker", "auditor")}
    assert targets == {
        *(f"{name}:{SERVICES[name]['environment']['CREDITS_METRICS_PORT']}" for name in ("worker-1", "worker-2")),
        *(f"{name}:{words[words.index('--metrics-port') + 1]}" for name, words in commands.items()),
        "127.0.0.1:9090",
    }
    for name in ("worker-1", "worker-2", "payment-worker", "auditor"):
        port = next(target for target in targets if target.startswith(f"{name}:")).split(":")[1]
        assert f"127.0.0.1:{port}/ready" in SERVICES[name]["healthcheck"]["test"][-1]


def test_a_worker_may_take_all_of_its_time_for_stopping() -> None:
    for name in ("worker-1", "worker-2"):
        budget = SERVICES[name]["environment"]["CREDITS_SHUTDOWN_TIMEOUT_S"]
        assert budget < int(SERVICES[name]["stop_grace_period"].removesuffix("s")) <= budget + 10


def test_the_console_is_probed_where_it_listens_and_finds_its_database() -> None:
    console, postgres = SERVICES["console"], SERVICES["postgres"]
    port = console["command"][console["command"].index("--port") + 1]
    assert f"127.0.0.1:{port}/login" in console["healthcheck"]["test"][-1]
    assert [published.split(":")[2] for published in console["ports"]] == [port]
    user, database = postgres["environment"]["POSTGRES_USER"], postgres["environment"]["POSTGRES_DB"]
    assert console["environment"]["CREDITS_CONSOLE_DATABASE"] == f"postgresql://{user}@postgres/{database}"


def test_nobody_but_the_console_reaches_the_database() -> None:
    (network,) = SERVICES["postgres"]["networks"]
    assert COMPOSE["networks"][network] == {"internal": True}
    assert {name for name, service in SERVICES.items() if network in service.get("networks", [])} == {
        "postgres",
        "console",
    }
    assert "ports" not in SERVICES["postgres"]


def test_grafana_finds_the_source_and_the_dashboards_that_are_mounted() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((provisioning / "dashboards" / "credits.yml").read_text())["providers"][0]
    mounted = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounted
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (ROOT / "deploy" / "grafana" / "dashboards" / home.name).is_file()


def test_the_image_is_pinned_locked_and_without_root_or_broker() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base) for base in bases)
    syncs = re.findall(r"uv sync (.*)", DOCKERFILE)
    assert len(syncs) == 2
    assert all("--frozen" in sync and "--no-dev" in sync for sync in syncs)
    chosen = [set(re.findall(r"--extra (\w+)", sync)) for sync in syncs]
    assert chosen == [EXTRAS - {"broker"}] * 2, "all that a service may be told to use, and no Java"
    user = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert user == [SERVICES["worker-1"]["user"]]
    assert "ENTRYPOINT" in DOCKERFILE.split("USER", 1)[1]


def test_the_image_builds_with_the_uv_that_makes_the_environment() -> None:
    version = re.search(r'UV_VERSION = "(.+)"', (ROOT / "scripts" / "setup").read_text())
    assert version is not None
    assert f"uv=={version[1]}" in DOCKERFILE


def test_everything_the_image_copies_is_there() -> None:
    sources = [
        word for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    ]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert (ROOT / "processor" / "contracts" / SYNTHETIC).is_file()
