"""The console without a broker, on SQLite and on PostgreSQL, with nothing stored yet."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from processor.console import access_tables, tables
from processor.console.access import open_access
from processor.console.readmodel import open_readmodel
from tests.postgres import server  # noqa: F401 - a fixture
from tests.unit.console_world import Console

DATABASE = "console_units"


@pytest.fixture(scope="session")
def migrated(server: str) -> str:  # noqa: F811
    """The URL of a PostgreSQL database that both sets of tables share, made once."""
    import psycopg

    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    url = f"{server}/{DATABASE}"
    open_readmodel(url).dispose()
    open_access(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_console(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Console]:
    """A console whose read model and access store are empty."""
    made = Console(tmp_path, request.getfixturevalue("migrated") if request.param == "postgres" else None)
    yield made
    if request.param == "postgres":
        names = [table.name for each in (tables, access_tables) for table in each.METADATA.sorted_tables]
        with made.world.engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(names)} RESTART IDENTITY"))
    made.close()
