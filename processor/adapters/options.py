"""What the operator knows and the records do not say."""

from datetime import tzinfo
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from msgspec import Struct
from phonenumbers import SUPPORTED_REGIONS

MAX_TENANT: Final = 128
MAX_SOURCE: Final = 256


class Options(Struct, frozen=True, kw_only=True):
    """How rows of one tenant are read. Raises `ValueError` for what no row could be read with.

    `region` (ISO 3166-1 alpha-2) completes numbers in national form and is the country of payers whose record names
    none. `zone` is that of times without one (Asterisk). `own` are E.164 prefixes, with their plus sign, of the
    tenant's own numbers: they tell direction where a PBX does not. `credits_licensed` is what is assumed where the
    record does not name the licence.
    """

    tenant_id: str
    region: str = "US"
    zone: tzinfo = ZoneInfo("UTC")
    own: tuple[str, ...] = ()
    credits_licensed: bool = True

    def __post_init__(self) -> None:
        if not 0 < len(self.tenant_id) <= MAX_TENANT:
            raise ValueError(f"a tenant id has 1 to {MAX_TENANT} characters")
        if self.region not in SUPPORTED_REGIONS:
            raise ValueError(f"{self.region} is no region with a numbering plan: use ISO 3166-1, as in US or GB")
        for prefix in self.own:
            if not (prefix.startswith("+") and prefix[1:].isdecimal() and prefix.isascii()):
                raise ValueError(f"{prefix} is no prefix of numbers in E.164 form: write it as in +1425555")


@lru_cache(maxsize=1024)
def source_of(vendor: str, tenant_id: str) -> str:
    """Names where a vendor's events come from, in CloudEvents' sense, as a URI reference.

    The tenant is part of it: rows converted for the wrong tenant must not hide the same rows of the right one.
    """
    name = quote(tenant_id, safe="")
    source = f"/adapters/{vendor}/{name}"
    return source if len(source) <= MAX_SOURCE else f"/adapters/{vendor}/{sha256(name.encode()).hexdigest()}"
