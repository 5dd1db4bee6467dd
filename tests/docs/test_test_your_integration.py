"""The page about tests without a broker: its program runs, and its table names what the driver has."""

import re

from processor import testing
from tests.docs.pages import DOCS

PAGE = DOCS / "how-to" / "test-your-integration.md"


def test_the_program_runs() -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    exec(compile(program, str(PAGE), "exec"), {})  # noqa: S102 - the page's own example


def test_the_driver_has_what_the_table_names() -> None:
    names = set(re.findall(r"`meter\.(\w+)", PAGE.read_text()))
    driver = set(dir(testing.Driver)) | {"now", "outputs"}
    assert names - driver == set()
