"""A broker that is not who it should be, or does not know us, is refused with an error that says what to do."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.embedded.broker import EmbeddedBroker
from tests.ops.guarded import Certificates, Guarded, keystore

VERIFY = "topics verify"
PROGRAMS = (VERIFY, "worker --processes 1", "payment-worker", "console", "simulate")


def fail(programs: tuple[str, ...], guarded: Guarded, directory: Path, **changes: str) -> list[str]:
    """Runs programs side by side, each of which must find a problem (exit code 1); returns what they say."""
    environment = guarded.environment("auditor", CREDITS_DATA_DIR=str(directory), **changes)
    given = {name: value for name, value in environment.items() if value}
    commands = [[sys.executable, "-m", "processor.cli", *program.split()] for program in programs]
    running = [subprocess.Popen(command, env=given, stderr=subprocess.PIPE, text=True) for command in commands]
    said = []
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 1, errors
        assert "Traceback" not in errors
        said.append(errors)
    return said


@pytest.fixture(scope="module")
def misnamed(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A broker with TLS alone, whose certificate is from the right authority and for another name."""
    directory = tmp_path_factory.mktemp("misnamed")
    certificates = Certificates(directory)
    properties = {
        "listener.security.protocol.map": "CLIENTS:SSL,CONTROLLER:PLAINTEXT",
        "ssl.endpoint.identification.algorithm": "",  # or the broker would not talk to itself
        **keystore(certificates.authority, directory / "broker.pem", "elsewhere.example"),
    }
    lenient = {
        "security.protocol": "SSL",
        "ssl.ca.location": str(certificates.trusted),
        "ssl.endpoint.identification.algorithm": "none",
    }
    with EmbeddedBroker(properties=properties, client=lenient) as running:
        yield Guarded(running.bootstrap, certificates)


def test_every_program_refuses_a_broker_of_an_unknown_authority(guarded: Guarded, tmp_path: Path) -> None:
    stranger = str(guarded.certificates.untrusted)
    for said in fail(PROGRAMS, guarded, tmp_path, CREDITS_SSL_CA_LOCATION=stranger):
        assert "is not trusted" in said
        assert "Set CREDITS_SSL_CA_LOCATION to the certificate of the authority that issued it" in said
        assert f"used was {stranger}" in said


def test_every_program_refuses_a_broker_whose_certificate_is_for_another_name(
    misnamed: Guarded, tmp_path: Path
) -> None:
    for said in fail(PROGRAMS, misnamed, tmp_path, CREDITS_SECURITY_PROTOCOL="SSL"):
        assert "is for another name: IP address mismatch" in said
        assert "Use a name that is in it in CREDITS_BROKERS" in said


def test_a_wrong_password_is_told_from_a_broker_that_is_away(guarded: Guarded, tmp_path: Path) -> None:
    password = "of-somebody-else"  # noqa: S105 - it is wrong
    (said,) = fail((VERIFY,), guarded, tmp_path, CREDITS_SASL_PASSWORD=password)
    assert "refused the user 'auditor': look at CREDITS_SASL_USERNAME, CREDITS_SASL_PASSWORD" in said
    assert password not in said


def test_a_missing_client_certificate_is_asked_for(guarded: Guarded, tmp_path: Path) -> None:
    without = {"CREDITS_SSL_CERTIFICATE_LOCATION": "", "CREDITS_SSL_KEY_LOCATION": ""}
    (said,) = fail((VERIFY,), guarded, tmp_path, **without)
    assert "wants a client certificate that it trusts: set CREDITS_SSL_CERTIFICATE_LOCATION" in said


def test_a_client_that_speaks_plain_text_to_tls_is_told_so(guarded: Guarded, tmp_path: Path) -> None:
    (said,) = fail((VERIFY,), guarded, tmp_path, CREDITS_SECURITY_PROTOCOL="PLAINTEXT")
    assert "speaks TLS: set CREDITS_SECURITY_PROTOCOL to SSL or SASL_SSL" in said


def test_a_client_that_speaks_tls_to_plain_text_is_told_so(broker: EmbeddedBroker, tmp_path: Path) -> None:
    plain = Guarded(broker.bootstrap, Certificates(tmp_path))
    (said,) = fail((VERIFY,), plain, tmp_path, CREDITS_SECURITY_PROTOCOL="SSL")
    assert "compare CREDITS_SECURITY_PROTOCOL with the listener's" in said
