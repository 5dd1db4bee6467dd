"""Names minute pools for people: what the minutes are for, where, and the plan that gives them."""

from processor.console.text import N_, Text
from processor.domain.pools import CONFERENCING, owner_of


def pool_name(pool: str, text: Text) -> str:
    """Names a pool such as `MCOPSTN2/US/international`; one of another form stays as it is."""
    plan, _, rest = pool.partition("/")
    if pool == CONFERENCING:
        return text.say(N_("Audio conferencing (%(plan)s)"), plan=plan)
    country, _, which = rest.partition("/")
    place = text.country(country)
    if (user := owner_of(pool)) is not None:
        return text.say(N_("Domestic calls of %(user)s, %(country)s (%(plan)s)"), user=user, country=place, plan=plan)
    if which == "international":
        return text.say(N_("International calls, %(country)s (%(plan)s)"), country=place, plan=plan)
    if country and not which:
        return text.say(N_("Domestic calls, %(country)s (%(plan)s)"), country=place, plan=plan)
    return pool
