"""Certificates made here, and the settings with which the users of a guarded broker connect."""

import os
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from processor.contracts.rights import rights

MECHANISM = "SCRAM-SHA-512"
ADMIN = "admin"
GRANTED = rights("credits-meter", "credits-payments")


def keystore(authority: trustme.CA, path: Path, *names: str) -> dict[str, str]:
    """Issues a certificate for a broker; returns the properties with which it uses and expects the authority's."""
    issued = authority.issue_cert(*names)
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain)  # Java reads PKCS 8
    trusted = path.with_suffix(".ca")
    authority.cert_pem.write_to_path(str(trusted))
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(path),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(trusted),
    }


class Certificates:
    """An authority, a client certificate from it, and another authority that nobody should trust."""

    def __init__(self, directory: Path) -> None:
        self.authority, stranger = trustme.CA(), trustme.CA()
        self.trusted, self.untrusted = directory / "ca.pem", directory / "stranger.pem"
        self.certificate, self.key = directory / "client.pem", directory / "client.key"
        issued = self.authority.issue_cert("client")
        self.authority.cert_pem.write_to_path(str(self.trusted))
        stranger.cert_pem.write_to_path(str(self.untrusted))
        issued.private_key_pem.write_to_path(str(self.key))
        issued.cert_chain_pems[0].write_to_path(str(self.certificate))

    def conf(self, user: str) -> dict[str, str]:
        """The client settings of a user, whose password is the name."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": MECHANISM,
            "sasl.username": user,
            "sasl.password": user,
            "ssl.ca.location": str(self.trusted),
            "ssl.certificate.location": str(self.certificate),
            "ssl.key.location": str(self.key),
        }


class Guarded(NamedTuple):
    """A running broker that asks for a certificate and a password."""

    bootstrap: str
    certificates: Certificates

    def conf(self, user: str) -> dict[str, str]:
        """The client settings of a user."""
        return {"bootstrap.servers": self.bootstrap, **self.certificates.conf(user)}

    def environment(self, user: str, **changes: str) -> dict[str, str]:
        """The same for a process of ours: the documented settings, and nothing else."""
        return {
            **os.environ,
            "CREDITS_BROKERS": self.bootstrap,
            "CREDITS_SECURITY_PROTOCOL": "SASL_SSL",
            "CREDITS_SASL_USERNAME": user,
            "CREDITS_SASL_PASSWORD": user,
            "CREDITS_SSL_CA_LOCATION": str(self.certificates.trusted),
            "CREDITS_SSL_CERTIFICATE_LOCATION": str(self.certificates.certificate),
            "CREDITS_SSL_KEY_LOCATION": str(self.certificates.key),
            "CREDITS_METRICS_PORT": "0",
            "CREDITS_MINIMUM_FUNDING_MICROS": "1",
            **changes,
        }
