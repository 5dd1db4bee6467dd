"""Generates the published JSON Schemas (`schemas/<topic>/v1.json`) from the typed messages.

One self-contained file per topic describes the whole record. Only keywords that draft-07 and 2020-12 judge alike are
used, and no reference. `python -m processor.contracts.schemas` writes the files, `--check` compares them.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import msgspec.inspect as types

from processor.contracts import inputs, outputs, topics
from processor.contracts.vocabulary import MEANINGS
from processor.domain.account import Account
from processor.domain.ledger import NoticeKind
from processor.domain.pools import UserPools

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DIRECTORY: Final = Path(__file__).parents[2] / "schemas"

TIME_PATTERN: Final = (
    "^([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}"
    "[Tt][0-9]{2}:[0-9]{2}:[0-5][0-9](\\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)
"""RFC 3339 as clocks have it: with a zone, from year 1 on, without leap seconds. The decoder reads no more than this
but two spellings that it forgives: a space instead of the T, an offset without its colon."""

WRITTEN: Final[dict[str, type[msgspec.Struct]]] = {
    topics.RECHARGE_COMMANDS: outputs.RechargeRequested,
    topics.LEDGER: outputs.LedgerEvent,
    topics.NOTIFICATIONS: outputs.Notification,
    topics.ACCOUNT_STATE: Account,
    topics.USER_POOLS: UserPools,
}
"""The output topics whose records are JSON of ours. Dead letters repeat what came in, event ids are packed hashes."""


CONSTANT: Final = ("specversion", "datacontenttype")
"""Fields of the envelope that are always written with their default."""


def generate() -> dict[str, Schema]:
    """Returns the schema of every topic whose records are JSON, by topic."""
    read = {topic: _topic(topic, accepted, written=False) for topic, accepted in inputs.ACCEPTED.items()}
    return read | {topic: _topic(topic, (record,), written=True) for topic, record in WRITTEN.items()}


def path_of(topic: str) -> Path:
    """Returns where a topic's schema is kept: the topic's version becomes the file's name."""
    name, _, version = topic.rpartition(".")
    return DIRECTORY / name / f"{version}.json"


def render(schema: Schema) -> bytes:
    """Formats a schema the way it is committed."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def _topic(topic: str, records: tuple[type[msgspec.Struct], ...], *, written: bool) -> Schema:
    described = [_struct(_inspected(record), written=written) for record in records]
    if len(described) == 1:
        body = described[0]
    else:
        body = {"description": f"Record of `{topic}`: one of several events, told apart by `type`.", "oneOf": described}
    head = {"$schema": DIALECT, "title": topic, "x-kafka-topic": topic, "x-kafka-key": "tenant_id"}
    return head | {name: value for name, value in body.items() if name != "title"}


def _inspected(record: type[msgspec.Struct]) -> types.StructType:
    found = types.type_info(record)
    assert isinstance(found, types.StructType)  # noqa: S101 - what msgspec promises for a Struct
    return found


def _struct(struct: types.StructType, *, written: bool) -> Schema:
    """Describes an object. What we read may omit fields with a default; what we write has them unless configured so."""
    properties: Schema = {}
    required = []
    if struct.tag_field is not None:
        properties[struct.tag_field] = {"const": struct.tag, "description": MEANINGS[struct.tag_field]}
        required.append(struct.tag_field)
    always = written and not struct.cls.__struct_config__.omit_defaults
    for field in sorted(struct.fields, key=lambda field: field.encode_name == "data"):  # the envelope comes first
        properties[field.encode_name] = _property(field, written=written)
        if field.required or always:
            required.append(field.encode_name)
    return {
        "title": struct.cls.__name__,
        "description": " ".join((inspect.getdoc(struct.cls) or "").split()),
        "type": "object",
        "required": required,
        "properties": properties,
    }


def _property(field: types.Field, *, written: bool) -> Schema:
    if written and field.encode_name in CONSTANT:
        schema = {"const": field.default}
    elif written and field.encode_name == "type":
        schema = {"enum": [f"credits.{kind}.v1" for kind in get_args(NoticeKind)]}
    else:
        schema = _type(field.type, written=written)
    meaning = MEANINGS.get(field.encode_name)
    if meaning is not None:
        schema["description"] = meaning if "properties" not in schema else f"{meaning} {schema['description']}"
    if not written and not field.required and field.default not in (msgspec.NODEFAULT, None):
        schema["default"] = field.default
    return schema


def _type(kind: types.Type, *, written: bool) -> Schema:
    match kind:
        case types.StructType():
            return _struct(kind, written=written)
        case types.Metadata():
            return _type(kind.type, written=written) | (kind.extra_json_schema or {})
        case types.UnionType():
            return _union(kind, written=written)
        case types.ListType():
            return {"type": "array", "items": _type(kind.item_type, written=written)}
        case types.DictType():
            return {"type": "object", "additionalProperties": _type(kind.value_type, written=written)}
        case types.LiteralType():
            return {"const": kind.values[0]} if len(kind.values) == 1 else {"enum": list(kind.values)}
        case types.DateTimeType():
            return {"type": "string", "format": "date-time", "pattern": TIME_PATTERN}
        case types.StrType():
            bounds = {"minLength": kind.min_length, "maxLength": kind.max_length, "pattern": kind.pattern}
            return {"type": "string"} | {name: bound for name, bound in bounds.items() if bound is not None}
        case types.IntType():
            limits = {"minimum": kind.ge, "maximum": kind.le}
            return {"type": "integer"} | {name: limit for name, limit in limits.items() if limit is not None}
        case types.BoolType():
            return {"type": "boolean"}
    raise TypeError(f"no JSON Schema is known for {kind}: money and time have no other types")


def _union(union: types.UnionType, *, written: bool) -> Schema:
    """Describes `X | None`; contracts have no other unions inside a message."""
    (only,) = (kind for kind in union.types if not isinstance(kind, types.NoneType))
    schema = _type(only, written=written)
    if "type" not in schema:
        schema = {"enum": [*schema.get("enum", [schema.get("const")]), None]}
    else:
        schema["type"] = [schema["type"], "null"]
    return schema


def _differences() -> Iterator[Path]:
    """Yields the files that are not what the messages say, and those that nothing generates."""
    expected = {path_of(topic): render(schema) for topic, schema in generate().items()}
    for path, content in expected.items():
        if not path.exists() or path.read_bytes() != content:
            yield path
    yield from sorted(set(DIRECTORY.glob("*/v*.json")) - set(expected))


def main(arguments: list[str]) -> int:
    """Writes the schemas, or with `--check` tells which files differ; returns the exit code."""
    different = list(_differences())
    if arguments == ["--check"]:
        for path in different:
            sys.stderr.write(f"{path.relative_to(DIRECTORY.parent)} is not what the messages say: run `make schemas`\n")
        return 1 if different else 0
    for topic, schema in generate().items():
        path_of(topic).parent.mkdir(parents=True, exist_ok=True)
        path_of(topic).write_bytes(render(schema))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
