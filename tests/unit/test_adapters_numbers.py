"""Numbers become E.164 or nothing, and the quick way says what `phonenumbers` says."""

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import NumberParseException, ValidationResult

from processor.adapters import numbers


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("+442079460018", "US", "+442079460018"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("(425) 555-0100", "US", "+14255550100"),
        ("4255550100", "US", "+14255550100"),
        ("14255550100", "US", "+14255550100"),
        ("011442079460018", "US", "+442079460018"),
        ("00442079460018", "DE", "+442079460018"),
        ("+4402079460018", "US", "+442079460018"),
        ("+390612345678", "US", "+390612345678"),
        ("06 1234 5678", "IT", "+390612345678"),
        ("sip:+14255550100@192.0.2.1;user=phone", "US", "+14255550100"),
        ("tel:+1-425-555-0100", "GB", "+14255550100"),
        (" +14255550100 ", "US", "+14255550100"),
        ("+881612345678", "US", "+881612345678"),
    ],
)
def test_a_number_in_any_usual_form_is_read_as_e164(text: str, region: str, expected: str) -> None:
    assert numbers.e164(text, region) == expected


@pytest.mark.parametrize(
    "text",
    [
        "+0123456789",  # Microsoft's sample: no country code begins with 0
        "+1234567890",  # and its neighbour: a digit is missing
        "+12345678***",
        "+442079460***",  # its digits alone would be a possible number
        "442079460018",  # in the US: could be anything
        "5550100",
        "1001",
        "911",
        "+999123456789",
        "",
        "anonymous",
        "1-800-FLOWERS",
        "client:kevin",
        "sip:1001@192.0.2.1",
        "+1425555010０",  # a full-width digit
        "+" + "1" * 40,
    ],
)
def test_what_is_no_subscriber_number_is_not_made_one(text: str) -> None:
    assert numbers.e164(text, "US") is None


def test_an_extension_is_none_where_numbers_may_be_as_short() -> None:
    assert numbers.e164("1001", "DE") is None
    assert numbers.e164("030 23125000", "DE") == "+493023125000"


@given(
    st.one_of(
        st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True),
        st.from_regex(r"[0-9]{7,15}", fullmatch=True),
        st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)).flatmap(
            lambda code: st.from_regex(r"[0-9]{6,12}", fullmatch=True).map(lambda rest: f"+{code}{rest}")
        ),
    ),
    st.sampled_from(["US", "GB", "DE", "FR", "IT", "RU", "BR", "MX", "AR", "JP", "GG", "SM", "AU"]),
)
@example("+4402079460018", "US")
@example("0000000", "IT")
def test_the_quick_way_agrees_with_the_library(text: str, region: str) -> None:
    try:
        parsed = phonenumbers.parse(text, region)
        possible = phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE
    except NumberParseException:
        possible = False
    expected = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) if possible else None
    assert numbers.e164(text, region) == expected


@pytest.mark.parametrize("number", ["+18005550199", "+18885550100", "+448081570192", "+4980012345678", "+80012345678"])
def test_a_toll_free_number_is_known_by_its_plan(number: str) -> None:
    assert numbers.is_toll_free(number)


@pytest.mark.parametrize("number", ["+14255550100", "+442079460018", "+999123", "+4930231250"])
def test_other_numbers_are_not_toll_free(number: str) -> None:
    assert not numbers.is_toll_free(number)


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("911", "US", True),
        ("112", "DE", True),
        ("999", "GB", True),
        ("sip:911@192.0.2.1", "US", True),
        ("999", "US", False),
        ("9112", "US", False),
        ("+14255550100", "US", False),
        ("", "US", False),
    ],
)
def test_a_call_for_help_is_known_in_its_country(text: str, region: str, expected: bool) -> None:
    assert numbers.is_emergency(text, region) is expected
