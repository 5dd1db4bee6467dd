"""Who pays for a leg, case by case: C1 to C9 by credits, F1 and F2 nobody, R1 and R2 refused."""

import pytest

from processor.domain.errors import InputRejected
from processor.domain.ledger import Entry
from processor.domain.pools import PLANS
from tests.unit.builders import Meter, call, conference, funded, row

TOLL_FREE = "+18005550100"
TOLL = "+14255550100"


def judge(message, meter: Meter | None = None) -> Entry:
    """The one charge entry of a message."""
    [entry] = (meter or Meter()).apply(message).entries
    assert entry.kind == "charge"
    assert entry.usage is not None
    return entry


def verdict(message) -> tuple[str, str, int]:
    entry = judge(message)
    assert entry.usage is not None
    return entry.usage.decision, entry.usage.reason, -entry.amount_micros


@pytest.mark.parametrize("kind", ["ucap_in", "user_in"])
def test_c1_a_call_to_a_toll_free_service_number_is_paid_by_credits_at_the_inbound_rate(kind):
    message = call(90, call_type=kind, callee=TOLL_FREE, number_type="service_toll_free")
    assert verdict(message) == ("credits", "toll_free_inbound", 60_000)


def test_c1_a_toll_free_dial_in_is_paid_by_credits_at_the_bridge_numbers_rate():
    message = conference(60, leg_kind="dial_in_toll_free", bridge_number=TOLL_FREE, remote_number="anonymous")
    assert verdict(message) == ("credits", "toll_free_inbound", 30_000)


@pytest.mark.parametrize("kind", ["dial_out", "call_me"])
def test_c2_a_conference_dial_out_outside_zone_a_is_paid_by_credits(kind):
    meter = Meter(row("263", country="ZW"))
    message = conference(61, leg_kind=kind, remote_number="+263242123456")
    judged = judge(message, meter)
    assert (judged.usage.decision, judged.usage.reason) == ("credits", "conference_dial_out")
    assert judged.amount_micros == -200_000


@pytest.mark.parametrize("kind", ["dial_out", "call_me"])
def test_c3_a_conference_dial_out_without_minutes_left_is_paid_by_credits(kind):
    assert verdict(conference(61, leg_kind=kind)) == ("credits", "conference_pool_used_up", 200_000)


@pytest.mark.parametrize("plan", sorted(PLANS))
def test_c6_a_calling_plan_without_minutes_left_is_paid_by_credits(plan):
    assert verdict(call(capability=plan)) == ("credits", "pool_used_up", 100_000)


@pytest.mark.parametrize("kind", ["user_out", "user_out_conf", "user_out_transfer", "user_out_forwarding", "ucap_out"])
def test_c7_a_pay_as_you_go_user_pays_credits_from_the_first_minute(kind):
    assert verdict(call(1, call_type=kind)) == ("credits", "pay_as_you_go", 100_000)


@pytest.mark.parametrize(
    ("kind", "number", "amount"),
    [("dial_in_toll", TOLL, 20_000), ("dial_out", TOLL, 100_000), ("call_me", TOLL, 100_000)],
)
def test_c8_pay_per_minute_conferencing_pays_credits_for_everything(kind, number, amount):
    message = conference(60, leg_kind=kind, capability="MCOMEETACPEA", bridge_number=number)
    assert verdict(message) == ("credits", "pay_per_minute_conferencing", amount)


def test_c8_toll_free_dial_in_of_a_pay_per_minute_conference_costs_the_toll_free_rate():
    message = conference(60, leg_kind="dial_in_toll_free", capability="MCOMEETACPEA", bridge_number=TOLL_FREE)
    assert verdict(message)[2] == 30_000


@pytest.mark.parametrize("kind", ["user_in", "ucap_in"])
def test_f1_a_call_to_a_user_is_free(kind):
    assert verdict(call(call_type=kind, caller="anonymous", callee="")) == ("free", "inbound_to_user", 0)


def test_f1_a_toll_call_to_a_service_number_is_free():
    assert verdict(call(call_type="ucap_in", number_type="service_toll")) == ("free", "toll_inbound", 0)


def test_f1_toll_dial_in_of_a_subscription_conference_is_free_even_without_a_bridge_number():
    assert verdict(conference(leg_kind="dial_in_toll", bridge_number=None)) == ("free", "toll_inbound", 0)


@pytest.mark.parametrize("kind", ["dr_in", "dr_out", "dr_in_ucap", "dr_out_ucap", "dr_out_user_conf"])
def test_f1_direct_routing_is_free_for_masked_numbers_and_unlicensed_users_too(kind):
    message = call(call_type=kind, callee="+1425555****", credits_licensed=False)
    assert verdict(message) == ("free", "direct_routing", 0)


def test_f2_an_emergency_call_is_free_and_never_refused():
    unlicensed = call(callee="112", emergency=True, credits_licensed=False)
    assert verdict(unlicensed) == ("free", "emergency", 0)
    assert verdict(call(callee="911", call_type="dr_emergency_out")) == ("free", "emergency", 0)
    assert verdict(call(callee="+4490911999", emergency=True)) == ("free", "emergency", 0)


@pytest.mark.parametrize(
    "message",
    [
        call(credits_licensed=False),
        call(credits_licensed=False, capability="MCOPSTN2"),
        call(credits_licensed=False, callee="no number"),
        call(credits_licensed=False, call_type="ucap_in", callee=TOLL_FREE, number_type="service_toll_free"),
        conference(credits_licensed=False),
        conference(credits_licensed=False, leg_kind="dial_in_toll", capability="MCOMEETACPEA"),
    ],
)
def test_r1_whoever_lacks_the_credits_licence_is_refused_and_nothing_is_debited(message):
    assert verdict(message) == ("refused", "user_not_licensed", 0)


def test_r1_what_needs_no_credits_needs_no_credits_licence():
    assert verdict(call(call_type="user_in", credits_licensed=False)) == ("free", "inbound_to_user", 0)
    assert verdict(conference(leg_kind="dial_in_toll", credits_licensed=False)) == ("free", "toll_inbound", 0)


def test_r2_a_destination_that_the_deck_does_not_allow_is_refused_and_nothing_is_debited():
    entry = judge(call(callee="+4490911999"))
    assert entry.usage is not None
    assert (entry.usage.decision, entry.usage.reason) == ("refused", "destination_not_allowed")
    assert (entry.usage.prefix, entry.usage.billed_seconds, entry.amount_micros) == ("449", 0, 0)


def test_a_charge_says_how_it_came_about():
    meter = Meter()
    entry = judge(call(61, callee="+33123456789"), meter)
    usage = entry.usage
    assert usage is not None
    assert (usage.call_type, usage.leg_kind) == ("user_out", None)
    assert (usage.country, usage.destination, usage.prefix, usage.deck) == ("FR", "to 33", "33", "test@1")
    assert (usage.billed_seconds, usage.credit_seconds) == (120, 120)
    assert (usage.rate_micros_per_min, usage.connect_fee_micros) == (100_000, 50_000)
    assert entry.amount_micros == -250_000
    assert (entry.entry_id, entry.revision, entry.balance_micros) == ("contoso:1", 1, -250_000)


def test_a_leg_that_never_connected_costs_nothing_not_even_the_connect_fee():
    assert verdict(call(0, callee="+33123456789")) == ("credits", "pay_as_you_go", 0)


def test_a_fraction_of_a_second_counts_as_a_whole_one():
    assert verdict(call(60.001)) == ("credits", "pay_as_you_go", 200_000)


def test_usage_on_an_empty_account_is_charged_and_flagged():
    meter = Meter()
    meter.apply(funded(50))
    flags = [meter.debit(micros).entries[0].flags for micros in (49_000_000, 1_000_000, 1, 0)]
    assert flags == [[], [], ["overdrawn"], []]


def test_usage_without_a_rate_is_parked_or_free_as_the_operator_decides():
    nowhere = call(callee="+8612345678")
    with pytest.raises(InputRejected) as caught:
        Meter().apply(nowhere)
    assert caught.value.reason == "no_rate"
    entry = judge(nowhere, Meter(unrateable="free"))
    assert entry.usage is not None
    assert (entry.usage.decision, entry.usage.reason, entry.amount_micros) == ("free", "FREECALL", 0)


@pytest.mark.parametrize("callee", ["unknown", ""])
def test_a_number_that_cannot_be_priced_is_parked_even_where_usage_without_a_rate_is_free(callee):
    with pytest.raises(InputRejected) as caught:
        Meter(unrateable="free").apply(call(callee=callee))
    assert caught.value.reason == "number_invalid"
