"""Several embedded brokers as one KRaft cluster: every partition has a copy on each of up to three nodes."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Final, Self

from processor.embedded.broker import HOST, EmbeddedBroker, free_port, new_cluster_id

CHECK_S: Final = 0.5


class EmbeddedCluster:
    """Real Kafka nodes on 127.0.0.1, each a broker and a voter of the quorum; also a context manager.

    One node may be killed, frozen or restarted (`nodes[i].kill()`), and the cluster goes on: partitions have as many
    copies as there are nodes, at most 3, and a write is acknowledged when all of them but one have it. With `port`
    the nodes listen there and on the ports behind it; `data_dir` keeps one directory per node.
    """

    def __init__(
        self,
        nodes: int = 3,
        port: int | None = None,
        data_dir: Path | None = None,
        *,
        heap: str = "384m",
        properties: Mapping[str, str] | None = None,
    ) -> None:
        taken = _free_ports(2 * nodes)
        ports = [port + index for index in range(nodes)] if port else taken[:nodes]
        controllers = taken[nodes:]
        cluster_id = new_cluster_id()
        self.nodes = [
            EmbeddedBroker(
                ports[index],
                data_dir / f"node-{index + 1}" if data_dir else None,
                heap=heap,
                properties=_node(index, ports, controllers) | dict(properties or {}),
                cluster_id=cluster_id,
            )
            for index in range(nodes)
        ]
        self.bootstrap = ",".join(node.bootstrap for node in self.nodes)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Starts all nodes and returns once each answers; raises `BrokerError` with the remedy."""
        try:
            # Together, as none is ready before most of them are.
            with ThreadPoolExecutor(len(self.nodes)) as starters:
                list(starters.map(EmbeddedBroker.start, self.nodes))
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stops all nodes; harmless for those that are not running."""
        with ThreadPoolExecutor(len(self.nodes)) as stoppers:
            list(stoppers.map(EmbeddedBroker.stop, self.nodes))

    def wait(self) -> None:
        """Blocks while all nodes run; raises `BrokerError` when one ends by itself."""
        while True:
            for node in self.nodes:
                node.check()
            sleep(CHECK_S)


def _node(index: int, ports: list[int], controllers: list[int]) -> dict[str, str]:
    """Returns what distinguishes a node from a single one."""
    copies, acknowledged = min(len(ports), 3), max(min(len(ports), 3) - 1, 1)
    return {
        "node.id": str(index + 1),
        "listeners": f"CLIENTS://{HOST}:{ports[index]},CONTROLLER://{HOST}:{controllers[index]}",
        "controller.quorum.voters": ",".join(f"{at + 1}@{HOST}:{port}" for at, port in enumerate(controllers)),
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(acknowledged),
        "offsets.topic.replication.factor": str(copies),
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(acknowledged),
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": str(acknowledged),
    }


def _free_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)
