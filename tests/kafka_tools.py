"""Kafka's command-line tools, as they stand on a broker's machine: scripts that run Kafka's own classes."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from processor.embedded import artifacts

CLASSES = {
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
}
COORDINATE = f"org.apache.kafka:kafka-tools:{artifacts.KAFKA_VERSION}"
TIMEOUT_S = 60


def install(directory: Path) -> None:
    """Writes the scripts into a directory; skips the test where their jar is not cached and cannot be fetched."""
    class_path = os.pathsep.join(map(str, [*artifacts.jars(), _jar()]))
    java = f"{artifacts.java()} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp {class_path}"
    for name, main in CLASSES.items():
        script = directory / name
        script.write_text(f'#!/bin/sh\nexec {java} {main} "$@"\n')
        script.chmod(0o755)


def _jar() -> Path:
    """Returns the one jar that an embedded broker does not need, fetched once per user."""
    from jgo.maven import MavenContext
    from jgo.parse import Coordinate

    cache = artifacts.cache_dir().parent
    jar = cache / f"kafka-tools-{artifacts.KAFKA_VERSION}.jar"
    if not jar.exists():
        with tempfile.TemporaryDirectory(prefix="tools-", dir=cache) as work:
            maven = MavenContext(repo_cache=Path(work), local_repos=[], timeout=TIMEOUT_S)
            try:
                fetched = maven.create_dependency(Coordinate.parse(COORDINATE)).artifact.resolve()
            except (OSError, RuntimeError) as error:
                pytest.skip(f"{COORDINATE} could not be fetched from Maven Central: {error}")
            shutil.move(fetched, Path(work) / jar.name)
            (Path(work) / jar.name).rename(jar)  # appears whole or not at all
    return jar
