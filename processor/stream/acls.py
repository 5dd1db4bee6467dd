"""Kafka's access rights for the roles of the product: which there should be, and their creation."""

from collections.abc import Iterable, Mapping

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from processor.contracts.rights import Rights

REQUEST_TIMEOUT_S = 10.0
ANY = "*"


def bindings(rights: Rights, principal: str) -> list[AclBinding]:
    """Returns the rules for one principal, such as `User:meter`; reading and writing imply describing."""

    def allow(
        kind: ResourceType,
        name: str,
        operation: AclOperation,
        pattern: ResourcePatternType = ResourcePatternType.LITERAL,
    ) -> AclBinding:
        return AclBinding(kind, name, pattern, principal, ANY, operation, AclPermissionType.ALLOW)

    topic, group, transaction = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID
    made = [allow(topic, name, AclOperation.READ) for name in rights.reads]
    made += [allow(topic, name, AclOperation.WRITE) for name in rights.writes]
    made += [allow(group, name, AclOperation.READ) for name in rights.groups]
    made += [
        allow(transaction, prefix, operation, ResourcePatternType.PREFIXED)
        for prefix in rights.transactions
        for operation in (AclOperation.WRITE, AclOperation.DESCRIBE)
    ]
    if rights.describes:
        made += [allow(topic, ANY, AclOperation.DESCRIBE), allow(topic, ANY, AclOperation.DESCRIBE_CONFIGS)]
        made.append(allow(group, ANY, AclOperation.DESCRIBE))
    return made


def sentence(binding: AclBinding) -> str:
    """Says one rule in a line."""
    prefixed = "…" if binding.resource_pattern_type is ResourcePatternType.PREFIXED else ""
    kind = binding.restype.name.lower()
    return f"{binding.principal} {binding.operation.name.lower()} {kind} {binding.name}{prefixed}"


def create(brokers: str, security: Mapping[str, object], wanted: Iterable[AclBinding]) -> None:
    """Creates the rules; those that exist stay. Raises `KafkaException` when the cluster refuses."""
    client = AdminClient({"log_level": 0, **security, "bootstrap.servers": brokers})
    for future in client.create_acls(list(wanted), request_timeout=REQUEST_TIMEOUT_S).values():
        future.result()
