"""A broker as in production: TLS, certificates on both sides, a user per role, and rights that deny all else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.contracts.rights import ROLES
from processor.embedded.broker import EmbeddedBroker
from processor.stream import acls
from processor.stream import topics as stream_topics
from tests.crash.platform import PARTITIONS
from tests.ops.guarded import ADMIN, GRANTED, MECHANISM, Certificates, Guarded, keystore

MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
LISTENER = "listener.name.clients"


@pytest.fixture(scope="package")
def guarded(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A broker with a user per role, the topics, and the rights of `credits topics acls`, over SASL_SSL."""
    directory: Path = tmp_path_factory.mktemp("tls")
    certificates = Certificates(directory)
    stores = keystore(certificates.authority, directory / "broker.pem", "127.0.0.1")
    properties = {
        "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": MECHANISM,
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        f"{LISTENER}.{MECHANISM.lower()}.sasl.jaas.config": (
            f'{MODULE} required username="{ADMIN}" password="{ADMIN}";'
        ),
        f"{LISTENER}.ssl.client.auth": "required",
        **{f"{LISTENER}.{name}": value for name, value in stores.items()},
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        # The controller's listener, inside the broker, has no users.
        "super.users": f"User:{ADMIN};User:ANONYMOUS",
    }
    users = [f"--add-scram={MECHANISM}=[name={name},password={name}]" for name in (ADMIN, *ROLES)]
    admin = certificates.conf(ADMIN)
    with EmbeddedBroker(properties=properties, client=admin, format_arguments=users) as running:
        assert not stream_topics.apply(running.bootstrap, PARTITIONS, 1, admin).problems
        for role in ROLES:
            acls.create(running.bootstrap, admin, acls.bindings(GRANTED[role], f"User:{role}"))
        yield Guarded(running.bootstrap, certificates)
