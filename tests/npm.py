"""Programs from the npm registry that tests run on Node, installed once per user as their lock files say."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from processor.embedded import artifacts

INSTALL_S = 240


def installed(source: Path, name: str, *programs: str) -> tuple[str, Path]:
    """Returns node and a directory with the packages that `source` locks and fresh copies of its `programs`.

    Skips the test, with the reason, where that is not possible.
    """
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip(f"node and npm are not installed: {name} runs on them")
    lock = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()[:12]
    cache = artifacts.cache_dir().parent
    directory = cache / f"{name}-{lock}"
    if not directory.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="npm-", dir=cache) as temporary:
            fresh = Path(temporary) / name
            shutil.copytree(source, fresh)
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, timeout=INSTALL_S, check=False)
            if done.returncode:
                pytest.skip(f"{name} could not be installed from the npm registry: {done.stderr[-300:]}")
            fresh.rename(directory)
    for program in programs:
        shutil.copy(source / program, directory / program)
    return node, directory
