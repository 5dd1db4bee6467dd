"""The alerting and recording rules of `deploy/prometheus/` with shorter windows, and with nothing else changed.

Divided are the ranges (`[5m]`), the offsets (`offset 1h`) and the waiting times (`for: 5m`). Thresholds are as they
are, those in seconds too: a recharge without a result for 600 s has to be 600 s old.
"""

import re
from collections.abc import Callable
from typing import Any, Final

_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = r"(\d+)(ms|[smhd])"
_IN_EXPRESSION: Final = re.compile(rf"(?<=\[){_DURATION}(?=\])|(?<=offset ){_DURATION}\b")


def faster(document: dict[str, Any], factor: int) -> dict[str, Any]:
    """Returns a file of rules with every duration divided by `factor`."""
    return {
        "groups": [{**group, "rules": [_rule(rule, factor) for rule in group["rules"]]} for group in document["groups"]]
    }


def shorter(duration: str, factor: int) -> str:
    """Divides a duration as Prometheus writes it, `5m`; raises `ValueError` for one of several units."""
    found = re.fullmatch(_DURATION, duration)
    if found is None:
        raise ValueError(f"not a duration of one unit: {duration}")
    return f"{int(found[1]) * _UNITS_MS[found[2]] // factor}ms"


def replace_durations(expression: str, by: Callable[[str], str]) -> str:
    """Puts another duration in the place of every range and offset of an expression."""
    return _IN_EXPRESSION.sub(lambda found: by(found[0]), expression)


def _rule(rule: dict[str, Any], factor: int) -> dict[str, Any]:
    changed = {**rule, "expr": replace_durations(rule["expr"], lambda duration: shorter(duration, factor))}
    if "for" in rule:
        changed["for"] = shorter(rule["for"], factor)
    return changed
