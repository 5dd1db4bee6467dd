"""Why no broker answered: asks once more and tells a certificate or a password that is refused from a silent host.

librdkafka reports all of these as a broken transport; what it says besides does not tell a wrong authority from a wrong
name. So TLS is tried by hand, and the user by a client that listens to its errors.
"""

import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

TRY_S: Final = 3.0


def refusal(conf: Mapping[str, Any]) -> str | None:
    """Returns why the first broker and the settings in `conf` (librdkafka's) do not agree, and the remedy; None when
    there is no answer at all.
    """
    protocol = str(conf.get("security.protocol", "PLAINTEXT"))
    said = _tls(conf) if protocol.endswith("SSL") else _speaks_tls(conf)
    return said or (_user(conf) if protocol.startswith("SASL") else None)


def _tls(conf: Mapping[str, Any]) -> str | None:
    brokers, (host, port) = conf["bootstrap.servers"], _first(conf)
    authority = conf.get("ssl.ca.location")
    try:
        context = ssl.create_default_context(cafile=authority)
        if "ssl.certificate.location" in conf:
            context.load_cert_chain(conf["ssl.certificate.location"], conf.get("ssl.key.location"))
    except (ssl.SSLError, OSError) as error:
        return f"the certificate files cannot be used: {error}. Mend CREDITS_SSL_…_LOCATION"
    try:
        with (
            socket.create_connection((host, port), TRY_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            secured.recv(1)  # a broker that misses our certificate says so after the handshake
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message.rstrip(".")
        if reason.startswith(("Hostname", "IP address")):
            return (
                f"the certificate of the broker at {brokers} is for another name: {reason}. Use a name that is in it in"
                " CREDITS_BROKERS (and in the broker's advertised.listeners), or have it issued for this one"
            )
        source = authority or "the system's"
        return (
            f"the certificate of the broker at {brokers} is not trusted: {reason}. Set CREDITS_SSL_CA_LOCATION to the"
            f" certificate of the authority that issued it; used was {source}"
        )
    except ssl.SSLError as error:
        if "CERTIFICATE_REQUIRED" in (error.reason or "") or "BAD_CERTIFICATE" in (error.reason or ""):
            return (
                f"the broker at {brokers} wants a client certificate that it trusts: set"
                " CREDITS_SSL_CERTIFICATE_LOCATION and CREDITS_SSL_KEY_LOCATION"
            )
        return (
            f"the broker at {brokers} does not speak TLS as we do ({error.reason}): compare CREDITS_SECURITY_PROTOCOL"
            " with the listener's"
        )
    except OSError:
        return None
    return None


def _speaks_tls(conf: Mapping[str, Any]) -> str | None:
    """Tells a listener with TLS from a silent one; nothing is trusted and nothing is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(_first(conf), TRY_S) as plain, context.wrap_socket(plain):
            pass
    except OSError:  # of which a failed handshake is one
        return None
    return (
        f"the broker at {conf['bootstrap.servers']} speaks TLS: set CREDITS_SECURITY_PROTOCOL to SSL or SASL_SSL, and"
        " CREDITS_SSL_CA_LOCATION"
    )


def _user(conf: Mapping[str, Any]) -> str | None:
    refused: list[KafkaError] = []

    def note(error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001 - its public name
            refused.append(error)

    client = AdminClient({**conf, "error_cb": note})
    deadline = time.monotonic() + TRY_S
    while not refused and time.monotonic() < deadline:
        client.poll(0.1)
    if not refused:
        return None
    return (
        f"the broker at {conf['bootstrap.servers']} refused the user {conf['sasl.username']!r}: look at"
        " CREDITS_SASL_USERNAME, CREDITS_SASL_PASSWORD and CREDITS_SASL_MECHANISM"
    )


def _first(conf: Mapping[str, Any]) -> tuple[str, int]:
    address = str(conf["bootstrap.servers"]).split(",")[0]
    host, colon, port = address.rpartition(":")
    return (host.strip("[]") if colon else address, int(port) if port.isdigit() else 9092)
