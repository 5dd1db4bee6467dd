"""Shows a record without the phone numbers in it: enough to see what is wrong, too little to call anybody."""

import re
from typing import Any, Final

import msgspec

from processor.contracts.vocabulary import MEANINGS

SHOWN: Final = 4
"""Leading digits that stay: country and area, which is what prices depend on."""

NUMBERS: Final = frozenset({"caller", "callee", "remote_number", "bridge_number"})
"""Fields that hold a number, or whatever a platform puts there instead."""

_PLUS: Final = re.compile(r"\+\d[\d\s().-]{4,}\d")
_LONG: Final = re.compile(r"\+?\d[\d\s().-]{5,}\d")


def masked(value: bytes) -> str:
    """Returns a record's value as indented JSON, or as text where it is none, with phone numbers masked."""
    try:
        document = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return masked_text(value.decode("utf-8", "replace"))
    return pretty(_masked(document, ""))


def masked_text(text: str) -> str:
    """Masks whatever could be a phone number in text of unknown meaning."""
    return _LONG.sub(_hide, text)


def masked_key(key: bytes) -> str:
    """Masks a number with its plus sign, which is no tenant id but might have been sent as one."""
    return _PLUS.sub(_hide, key.decode("utf-8", "replace"))


def pretty(document: Any) -> str:
    """Indents a JSON document."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _masked(document: Any, name: str) -> Any:
    """Fields of the contract are known to hold no number, unless they are for one; of others nothing is known."""
    if isinstance(document, dict):
        return {masked_text(key): _masked(value, key) for key, value in document.items()}
    if isinstance(document, list):
        return [_masked(value, name) for value in document]
    if name in NUMBERS and isinstance(document, str):
        return _PLUS.sub(_hide, document) if _PLUS.fullmatch(document) else "…" * bool(document)
    if isinstance(document, str):
        return (_PLUS if name in MEANINGS else _LONG).sub(_hide, document)
    if isinstance(document, int) and name not in MEANINGS and not isinstance(document, bool):
        return document if abs(document) < 10**6 else masked_text(str(document))
    return document


def _hide(number: re.Match[str]) -> str:
    found, left = number[0], SHOWN
    shown = []
    for character in found:
        shown.append("•" if character.isdigit() and left <= 0 else character)
        left -= character.isdigit()
    return "".join(shown)
