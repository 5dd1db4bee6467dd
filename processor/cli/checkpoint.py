"""How far a source has been pulled: a small file, always whole, whatever happens while it is written."""

import os
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from processor.cli.common import CommandFailed


class Pulled(Struct, kw_only=True, forbid_unknown_fields=True):
    """Everything that started before `until` of a log was published once; of which tenant, so that files do not mix."""

    tenant_id: str
    until: dict[str, datetime] = {}


def load(path: Path, tenant_id: str) -> Pulled:
    """Reads the file; without one nothing was pulled. Raises `CommandFailed` for a file of something else."""
    try:
        pulled = msgspec.json.decode(path.read_bytes(), type=Pulled)
    except FileNotFoundError:
        return Pulled(tenant_id=tenant_id)
    except (msgspec.DecodeError, UnicodeError, OSError) as error:
        raise CommandFailed(
            f"the checkpoint {path} cannot be read ({error}): remove it and say with --since where to begin"
        ) from None
    if pulled.tenant_id != tenant_id:
        raise CommandFailed(f"the checkpoint {path} belongs to tenant {pulled.tenant_id}: use one file per tenant")
    return pulled


def save(path: Path, pulled: Pulled) -> None:
    """Replaces the file: written aside, forced to disk, renamed. Raises `CommandFailed` when it cannot be written."""
    aside = path.with_name(path.name + ".new")
    try:
        with aside.open("wb") as file:
            file.write(msgspec.json.encode(pulled) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise CommandFailed(f"the checkpoint {path} cannot be written: {error.strerror}") from None
