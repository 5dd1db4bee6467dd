"""Phone numbers as vendors write them, in E.164.

`phonenumbers` knows the plans and decides. Most rows carry plain digits, for which the library's general parser (30 µs)
is not needed: where no prefix has to be taken off, its answer follows from the plan's lengths, looked up once per plan.
"""

import re
from functools import cache
from typing import Final, NamedTuple

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, NumberParseException, PhoneMetadata, ValidationResult
from phonenumbers.shortnumberinfo import is_emergency_number

WITHHELD: Final = frozenset({"", "anonymous", "private", "restricted", "unavailable", "unknown", "withheld"})
"""What stands in the place of a caller who does not show their number."""

_PLAIN: Final = re.compile(r"\+[1-9][0-9]{6,14}").fullmatch
_DIGITS: Final = re.compile(r"[0-9]{7,15}").fullmatch
_WRITTEN: Final = re.compile(r"\+?[0-9 ().\-/]{3,32}").fullmatch
_URI: Final = re.compile(r"(?:sips?:|tel:)?([^@;]*)").match
_SHORT: Final = re.compile(r"[0-9*#]{1,6}").fullmatch
_NAME: Final = re.compile(r"[A-Za-z]").search


class _Plan(NamedTuple):
    """What is needed of a country code's numbering plan; patterns match national numbers."""

    lengths: frozenset[int]
    prefix: re.Pattern[str] | None
    toll_free: re.Pattern[str] | None


def e164(text: str, region: str) -> str | None:
    """Reads a number: E.164, international or national form of `region`, with separators, or in a sip or tel URI.

    Returns None for what is no subscriber number: withheld, masked, an extension, of an impossible length. A number
    is possible when its country code exists and has numbers of that length: ranges change too often to ask for more.

    >>> e164("+442079460018", "US"), e164("020 7946 0018", "GB"), e164("+0123456789", "US"), e164("+4420794600**", "US")
    ('+442079460018', '+442079460018', None, None)
    """
    if _PLAIN(text) is not None:
        code, national = _split(text)
        plan = _plan(code) if code else None
        if plan is None:
            return None
        if plan.prefix is None or plan.prefix.match(national) is None:
            return text if len(national) in plan.lengths else None
    elif _DIGITS(text) is not None:
        code, prefix = _dialling(region)
        plan = _plan(code) if code else None
        if plan is not None and prefix.match(text) is None:
            return f"+{code}{text}" if len(text) in plan.lengths else None
    return _parse(text, region)


def is_toll_free(number: str) -> bool:
    """Tells whether an E.164 number is free for its caller.

    >>> is_toll_free("+18005550100"), is_toll_free("+14255550100")
    (True, False)
    """
    code, national = _split(number)
    plan = _plan(code) if code else None
    return plan is not None and plan.toll_free is not None and plan.toll_free.fullmatch(national) is not None


def is_emergency(text: str, region: str) -> bool:
    """Tells whether `text` is dialled for help in `region`: 911, 112, 999.

    >>> is_emergency("911", "US"), is_emergency("1001", "US")
    (True, False)
    """
    digits = _user(text).lstrip("+")
    return _SHORT(digits) is not None and digits.isdecimal() and bool(is_emergency_number(digits, region))


def is_internal(text: str) -> bool:
    """Tells whether `text` names something inside a switch: an extension, a feature code, a dial plan entry, a client.

    >>> is_internal("1001"), is_internal("*97"), is_internal("client:kevin"), is_internal("anonymous")
    (True, True, True, False)
    """
    user = _user(text)
    return user.lower() not in WITHHELD and (_SHORT(user) is not None or _NAME(user) is not None)


def is_address(text: str) -> bool:
    """Tells whether `text` names a client or a SIP account instead of a number.

    >>> is_address("client:kevin"), is_address("sip:1001@example.com"), is_address("12345"), is_address("Anonymous")
    (True, True, False, False)
    """
    return text.strip().lower() not in WITHHELD and ("@" in text or _NAME(text) is not None)


def _user(text: str) -> str:
    """Takes the number or name out of a URI."""
    found = _URI(text.strip())
    return found[1].strip() if found is not None else ""


def _parse(text: str, region: str) -> str | None:
    user = _user(text)
    if _WRITTEN(user) is None or _SHORT(user) is not None:  # plans with numbers so short exist; extensions are likelier
        return None
    try:
        number = phonenumbers.parse(user, region)
    except NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _split(number: str) -> tuple[int, str]:
    """Cuts the country code off an E.164 number; 0 when no country has it."""
    for end in (2, 3, 4):
        if (code := int(number[1:end])) in COUNTRY_CODE_TO_REGION_CODE:
            return code, number[end:]
    return 0, ""


@cache
def _plan(code: int) -> _Plan | None:
    region = COUNTRY_CODE_TO_REGION_CODE[code][0]
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    if metadata is None or metadata.general_desc is None:
        return None
    free = metadata.toll_free.national_number_pattern if metadata.toll_free is not None else None
    trunk = metadata.national_prefix_for_parsing
    return _Plan(
        frozenset(metadata.general_desc.possible_length),
        re.compile(trunk) if trunk else None,
        re.compile(free) if free else None,
    )


@cache
def _dialling(region: str) -> tuple[int, re.Pattern[str]]:
    """Returns a region's country code, and what may stand before a number there: code, trunk or exit prefix."""
    metadata = PhoneMetadata.metadata_for_region(region)
    if metadata is None or metadata.country_code is None:
        return 0, re.compile("")
    prefixes = (str(metadata.country_code), metadata.national_prefix_for_parsing, metadata.international_prefix)
    return metadata.country_code, re.compile("|".join(f"(?:{prefix})" for prefix in prefixes if prefix))
