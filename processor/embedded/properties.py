"""The server.properties of the embedded broker: one node, fast to start, strict where production is strict."""

from pathlib import Path


def server_properties(host: str, port: int, controller_port: int, logs: Path) -> dict[str, str]:
    """Returns the settings of a single KRaft node that listens on `host` only."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{host}:{controller_port}",
        "listeners": f"CLIENTS://{host}:{port},CONTROLLER://{host}:{controller_port}",
        "advertised.listeners": f"CLIENTS://{host}:{port}",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENTS",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(logs),
        # As in production: topics are declared (`credits topics apply`), never made by a typing error.
        "auto.create.topics.enable": "false",
        # A laptop's cores are shared with everything else: fewer threads halve the latency of a transaction there.
        "num.network.threads": "1",
        "num.io.threads": "2",
        # One node holds one copy.
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # Few internal partitions: they are made and loaded at first use and closed at shutdown.
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.num.partitions": "1",
        # Groups form at once and a killed member is noticed in seconds, in both protocols.
        "group.coordinator.rebalance.protocols": "classic,consumer",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "group.consumer.min.session.timeout.ms": "1000",
        "group.consumer.session.timeout.ms": "10000",
        "group.consumer.min.heartbeat.interval.ms": "500",
        "group.consumer.heartbeat.interval.ms": "1000",
        # An open transaction of a dead worker is aborted when its own timeout has passed, not up to 10 s later.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        "transaction.max.timeout.ms": "900000",
        # A killed broker is let in again once its earlier session has ended; by default that takes 9 s.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # The files of deleted topics go soon: tests delete many.
        "log.segment.delete.delay.ms": "1000",
    }
