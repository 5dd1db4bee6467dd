"""Compares the published schemas with those of the last release: what the meter reads only widens, what it publishes
only narrows, and what it has published stays readable to itself.

The proof is jsonschema-rs': both schemas become canonical forms, and `covers` decides whether one admits every document
that the other admits. It answers yes, no or unknown; only yes counts.

One assumption makes additions possible at all: a field that a release did not name belongs to later releases. So the
documents of yesterday's writers are taken to name no other fields than those their schema knew (`closed`).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from jsonschema_rs import CanonicalSchema, canonicalize
from jsonschema_rs.canonical import Containment

Schema = dict[str, Any]
Direction = Literal["read", "written", "kept"]
"""read: old writers, new meter. written: new meter, old readers. kept: records of the old meter, new meter."""


@dataclass(frozen=True)
class Break:
    """A field that somebody who keeps to the last release would stumble over; dots lead inwards, `[]` into a list."""

    topic: str
    field: str
    direction: Direction


def breaks(topic: str, old: Schema, new: Schema, direction: Direction, waived: Collection[str] = ()) -> list[Break]:
    """Lists what is incompatible between the schemas of one topic in one direction; an empty list is a proof.

    `old` is the released schema, `new` the present one; `waived` fields are left out of both. New types of event are
    no break: readers skip a `type` that they do not know. A type that is no longer read is one.
    """
    found = []
    for kind, before, after in _pairs(messages(old), messages(new), direction):
        for field in waived:
            before, after = without(before, field), without(after, field)
        if after == {}:
            found.append(Break(topic, f"type={kind}", direction))
            continue
        wide, tight = (before, after) if direction == "written" else (after, closed(before))
        found += [Break(topic, field, direction) for field in uncovered(wide, tight)]
    return list(dict.fromkeys(found))


def _pairs(
    old: dict[str, Schema], new: dict[str, Schema], direction: Direction
) -> Iterator[tuple[str, Schema, Schema]]:
    """Yields the types of event to compare, each with its schemas; what is gone has the schema `{}`."""
    for kind, before in old.items():
        after = new.get(kind, new.get(""))
        if after is not None:
            yield kind, before, after
        elif direction != "written":
            yield kind, before, {}


def messages(schema: Schema) -> dict[str, Schema]:
    """Takes a topic's schema apart by the type of event; where a schema does not name types, the name is ``""``."""
    if "oneOf" in schema:
        return {kind: part for branch in schema["oneOf"] for kind, part in messages(branch).items()}
    described = schema["properties"].get("type", {})
    kinds = described.get("enum", [described.get("const", "")])
    return {kind: _of_type(schema, kind) for kind in kinds}


def _of_type(schema: Schema, kind: str) -> Schema:
    if not kind:
        return schema
    return {**schema, "properties": {**schema["properties"], "type": {"const": kind}}}


def closed(schema: Schema) -> Schema:
    """Forbids, at every depth, the fields that the schema does not name."""
    result = dict(schema)
    if "properties" in schema:
        result["properties"] = {name: closed(part) for name, part in schema["properties"].items()}
        result.setdefault("additionalProperties", False)
    elif isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = closed(schema["additionalProperties"])
    if "items" in schema:
        result["items"] = closed(schema["items"])
    return result


def without(schema: Schema, field: str) -> Schema:
    """Takes one field out of a schema: whatever it holds, or its absence, is admitted."""
    name, _, rest = field.partition(".")
    name, inside = name.removesuffix("[]"), name.endswith("[]")
    properties = dict(schema.get("properties", {}))
    if not rest:
        required = [each for each in schema.get("required", []) if each != name]
        return {**schema, "properties": properties | {name: {}}, "required": required}
    if name not in properties:
        return schema
    part = properties[name]
    properties[name] = {**part, "items": without(part["items"], rest)} if inside else without(part, rest)
    return {**schema, "properties": properties}


def canonical(schema: Schema) -> CanonicalSchema:
    """Returns the canonical form of a schema, with formats as assertions."""
    return canonicalize(schema, draft=20, validate_formats=True)


def uncovered(wide: Schema, tight: Schema, path: str = "") -> list[str]:
    """Names the innermost fields where `tight` admits what `wide` refuses; an empty list means that it nowhere does."""
    if canonical(wide).covers(canonical(tight)) == Containment.YES:
        return []
    prefix = f"{path}." if path else ""
    inner = [f"{prefix}{name}" for name in wide.get("required", []) if name not in tight.get("required", [])]
    both = wide.get("properties", {}).keys() & tight.get("properties", {}).keys()
    for name in sorted(both):
        inner += uncovered(wide["properties"][name], tight["properties"][name], f"{prefix}{name}")
    if "items" in wide and "items" in tight:
        inner += uncovered(wide["items"], tight["items"], f"{path}[]")
    return list(dict.fromkeys(inner)) or [path or "(the whole document)"]
