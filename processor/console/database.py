"""Opens the console's databases, SQLite or PostgreSQL, and brings their tables to the present version."""

from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, MetaData, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from processor.sqlite import write_ahead

MIGRATIONS: Final = Path(__file__).with_name("migrations")
POOL: Final = 16
"""Connections kept open: requests wait for one rather than open more than a small PostgreSQL allows."""
_BACKENDS: Final = ("sqlite", "postgresql")


class UnusableDatabaseError(Exception):
    """The database cannot be opened; the message says what to do."""


def connect(url: str, tables: str, metadata: MetaData) -> Engine:
    """Opens a database and brings one set of tables, `readmodel` or `access`, up to date; both may share a database.

    `url` is SQLAlchemy's: `sqlite:////var/lib/credits/console.sqlite` or `postgresql://user:password@host/database`.
    Raises `UnusableDatabaseError`.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in _BACKENDS:
            raise UnusableDatabaseError(
                "the console keeps its data in SQLite or PostgreSQL: sqlite:///… or postgresql://…"
            )
        if parsed.get_backend_name() == "postgresql":
            engine = create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_size=POOL)
        else:
            engine = create_engine(parsed, paramstyle="named", connect_args={"timeout": 30}, pool_size=POOL)
            event.listen(engine, "connect", _prepare)
        with engine.begin() as connection:
            command.upgrade(alembic(connection, tables, metadata), "head")
    except ImportError as error:
        raise UnusableDatabaseError(
            'PostgreSQL needs an extra: pip install "communication-credits[postgres]"'
        ) from error
    except CommandError as error:
        raise UnusableDatabaseError(
            "the tables of the console's database are of a newer release: start that one again, or use another database"
        ) from error
    except (ArgumentError, SQLAlchemyError) as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise UnusableDatabaseError(f"the console's database cannot be opened: {cause}") from error
    return engine


def _prepare(connection: Any, _record: object) -> None:
    """A commit may be lost with the power, never torn: offsets and rows go together, so the topics fill it in again."""
    write_ahead(connection, "NORMAL")
    connection.execute("PRAGMA cache_size = -65536")


def alembic(connection: Connection, tables: str, metadata: MetaData) -> Config:
    """Returns what Alembic's commands need to know about one set of tables."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("version_locations", str(MIGRATIONS / tables))
    config.set_main_option("path_separator", "os")
    config.attributes["metadata"] = metadata
    config.attributes["version_table"] = f"alembic_{tables}"
    config.attributes["connection"] = connection
    return config
