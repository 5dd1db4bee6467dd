"""What MkDocs does not do by itself: the pages and schemas outside `docs/`, and Mermaid without a network.

Named in `mkdocs.yml`. The pages stay as they are read in the repository: a link that leaves `docs/` leads to the same
file in the site.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "schemas/**/*.json", "schemas/**/*.yaml")
"""What the site has besides `docs/`, under the same path."""
NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)(?P<path>[^)\s#]+)")
_FENCED = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files outside `docs/`, a list per directory of schemas, and Mermaid as `package-lock.json` pins it."""
    found = [path for pattern in OUTSIDE for path in sorted(ROOT.glob(pattern))]
    for path in found:
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    for directory in sorted({parent for path in found for parent in path.relative_to(ROOT).parents if parent.name}):
        names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in (ROOT / directory).iterdir())
        lines = [f"- [{name}]({name.replace('/', '/index.md')})" for name in names]
        files.append(File.generated(config, f"{directory}/index.md", content="\n".join([f"# {directory}\n", *lines])))
    files.append(File.generated(config, "javascripts/mermaid.js", abs_src_path=str(mermaid())))
    files.append(File.generated(config, "stylesheets/site.css", abs_src_path=str(HERE / "site.css")))
    return files


def mermaid() -> Path:
    """Returns Mermaid's script as locked; installs it from the npm registry when it is not there."""
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:12]
    installed = HERE / "node_modules" / lock
    if not installed.is_dir():
        if shutil.which(NPM[0]) is None:
            raise PluginError("the diagrams need Mermaid from npm: install Node.js with npm, then repeat")
        installed.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=installed.parent) as directory:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, directory)
            done = subprocess.run(NPM, cwd=directory, capture_output=True, text=True, check=False)
            if done.returncode:
                raise PluginError(f"Mermaid could not be installed; is the npm registry reachable?\n{done.stderr}")
            with contextlib.suppress(OSError):  # another build was faster
                (Path(directory) / "node_modules").rename(installed)
    return installed / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Points the links that cross the border of `docs/` at the same files in the site."""
    if page.file.abs_src_path is None:  # a list made above
        return markdown
    docs, source = Path(config.docs_dir), Path(page.file.abs_src_path)

    def place(path: Path) -> str | None:
        for base in (docs, ROOT):
            if path.is_relative_to(base):
                return path.relative_to(base).as_posix()
        return None

    def moved(link: re.Match[str]) -> str:
        target = place((source.parent / link["path"]).resolve())
        if target is None:
            return link["path"]
        listed = "/index.md" if (ROOT / target).is_dir() else ""
        return os.path.relpath(target + listed, Path(page.file.src_uri).parent)

    parts = _FENCED.split(markdown)
    parts[::2] = [_LINK.sub(moved, part) for part in parts[::2]]
    return "".join(parts)
