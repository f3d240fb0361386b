"""The JSON Schema of the mapping file, by which editors complete and check it while it is written.

It takes whatever `connector.core.mapping.load_mapping` takes, and refuses most of what that refuses; the rest (a name
that stands twice, a column that looks sensitive) no schema can say.

Draft 7, which the TOML editors' language server knows best. It looks for what may stand somewhere in ``properties``,
``items`` and ``anyOf``, follows a ``$ref`` only where nothing stands beside it, and ignores ``if``: so what any label
may have stands in ``properties``, and what one label may have in an ``if`` beside it.
https://taplo.tamasfe.dev/configuration/developing-schemas.html
"""

from __future__ import annotations

import inspect
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from connector.core.entities import LABELS, FieldType, field_paths, field_type
from connector.core.mapping.file import AccountPart, ColumnField, KeyPart, MappingFile, PersonField

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.core.entities import Label

Schema = dict[str, Any]

_SOURCES: Final = {
    KeyPart: ("column", "columns", "template"),
    AccountPart: ("column", "columns", "template"),
    ColumnField: ("column", "columns", "template"),
    PersonField: ("person", "columns", "template"),
}


def mapping_schema() -> Schema:
    """Return the JSON Schema (draft 7) of the mapping file."""
    made = MappingFile.model_json_schema(ref_template="#/definitions/{model}")
    parts = {name: _cleaned(part) for name, part in made.pop("$defs").items()}
    root = _cleaned(made)
    for model, ways in _SOURCES.items():
        _one_source(parts[model.__name__], ways)
    parts["ScopePart"]["oneOf"] = [{"required": ["is"]}, {"required": ["is_not"]}]
    parts["EffectivePart"]["anyOf"] = [{"required": ["from"]}, {"required": ["until"]}]
    fields = _Fields(parts)
    parts["PropertyPart"] = fields.property()
    root["properties"]["property"]["contains"] = {
        "properties": {"label": {"const": "personAccount"}}, "required": ["label"]
    }  # fmt: skip
    for name in ("ColumnField", "ConstantField", "PersonField"):
        del parts[name]  # each field has its own kind of these
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://people-connector.example/mapping.schema.json",
        "title": "Mapping of the people connector",
        **root,
        "description": "From the columns of an HR export to the properties of a profile (docs/mapping.md).",
        "definitions": dict(sorted((parts | fields.made).items())),
    }


# --- what pydantic makes of the models, in TOML's terms ---------------------------------------------------------------


def _cleaned(schema: Schema) -> Schema:
    """Return a schema without null, which TOML has not, without defaults that say nothing, and without titles."""
    kept: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: _cleaned(inner) for name, inner in value.items()}
        elif key in {"items", "additionalProperties"} and isinstance(value, dict):
            kept[key] = _cleaned(value)
        elif key == "anyOf":
            kept |= _without_null([_cleaned(inner) for inner in value])
        elif key == "description":
            kept[key] = inspect.cleandoc(value).split("\n\n", 1)[0].replace("``", "`").replace("\n", " ")
        elif key not in {"title", "default"} or (key == "default" and isinstance(value, str | int) and value != ""):
            kept[key] = value
    return {"$ref": kept["$ref"]} if "$ref" in kept else kept


def _without_null(members: list[Schema]) -> Schema:
    rest = [member for member in members if member != {"type": "null"}]
    return rest[0] if len(rest) == 1 else {"anyOf": rest}


def _one_source(part: Schema, ways: tuple[str, ...]) -> None:
    """Let a table have exactly one source of text, and only what goes with it."""
    part["oneOf"] = [{"required": [way]} for way in ways]
    if "column" not in ways:
        del part["properties"]["column"]
    part["properties"]["template"]["pattern"] = r"\{[^{}]+\}"
    part["dependencies"] = {
        "join": ["columns"],
        "otherwise": {"anyOf": [{"required": ["extract"]}, {"required": ["translate"]}]},
    }


# --- fields -----------------------------------------------------------------------------------------------------------


class _Fields:
    """What may stand behind each field of each label, as definitions that are made once per kind."""

    def __init__(self, parts: dict[str, Schema]) -> None:
        self.parts = parts
        self.made: dict[str, Schema] = {}

    def property(self) -> Schema:
        """Return the schema of a property: what any may have, and what one with this or that label may have."""
        part = self.parts["PropertyPart"]
        union: dict[str, list[Schema]] = {}
        for label in LABELS:
            for path, kind in self._of(label).items():
                if kind not in union.setdefault(path, []):
                    union[path].append(kind)
        told = part["properties"]
        every = {path: kinds[0] if len(kinds) == 1 else {"anyOf": kinds} for path, kinds in sorted(union.items())}
        any_fields = self._put(
            "fields", {"type": "object", "description": told["fields"]["description"], "properties": every}
        )
        words = [_of_label(label) for label in LABELS.values()]
        told["label"] |= {"enum": list(LABELS), "x-taplo": {"docs": {"enumValues": words}}}
        told["fields"] = any_fields
        told["entity"] = {
            "type": "array", "description": told["entity"]["description"], "items": any_fields
        }  # fmt: skip
        told["value"] = self._put("text of a custom property", self._table(FieldType(), several=False))
        no_entity = {"fields": {"maxProperties": 0}, "entity": {"maxItems": 0}}
        no_address = {"address_shape": False, "address_types": False}
        custom = {
            "properties": no_entity | no_address,
            "oneOf": [{"required": ["column"]}, {"required": ["value"]}],
        }
        labelled = [
            {"if": {"properties": {"label": {"const": label}}}, "then": self._labelled(label, no_entity, no_address)}
            for label in LABELS
        ]
        return part | {"if": {"required": ["label"]}, "then": {"allOf": labelled}, "else": custom}

    def _labelled(self, label: str, no_entity: Schema, no_address: Schema) -> Schema:
        no_text = {"column": False, "value": False} | (no_address if label != "personAddresses" else {})
        if label == "personAccount":
            return {"properties": no_text | no_entity}
        group = self._put(f"fields of {label}", {
            "type": "object", "properties": self._of(label), "additionalProperties": False
        })  # fmt: skip
        entity = {"items": group} | ({} if LABELS[label].several else {"maxItems": 1})
        both = {"fields": {"minProperties": 1}, "entity": {"minItems": 1}}
        return {
            "properties": no_text | {"fields": group, "entity": entity},
            "anyOf": [{"required": ["fields"]}, {"required": ["entity"]}],
            "not": {"properties": both, "required": ["fields", "entity"]},
        }

    def _of(self, label: str) -> dict[str, Schema]:
        entity = LABELS[label].entity
        if label == "personAccount":
            return {}
        kinds = ((path, field_type(entity, path)) for path in field_paths(entity))
        return {path: self._field(kind, several=LABELS[label].several) for path, kind in kinds if kind}

    def _field(self, kind: FieldType, *, several: bool) -> Schema:
        name = _name(kind)
        column = {"type": "string", "description": "The column that fills it."}
        if kind.person:
            part = self._less("PersonField", () if kind.many else ("list",))
            relationship = field_type(LABELS["personCurrentPosition"].entity, "manager.relationship") or FieldType()
            told = self.parts["PersonField"]["properties"]["relationship"]
            part["properties"]["relationship"] = told | {"enum": [*relationship.allowed]}
            return self._put(name, part)
        table = self._put(f"{name}{' of several' * several}, table", self._table(kind, several=several))
        one = self._less("ConstantField", ())
        told = {"description": self.parts["ConstantField"]["properties"]["constant"]["description"]}
        one["properties"]["constant"] = _constant(kind) | told
        constant = self._put(f"{name}, constant", one)
        return self._put(f"{name}{' of several' * several}", {"anyOf": [column, table, constant]})

    def _table(self, kind: FieldType, *, several: bool) -> Schema:
        plain = kind.kind is str and not kind.allowed and kind.form is None
        lacks = {
            "list": not kind.many,
            "split": not several,
            "dates": not (kind.kind is date or plain),
            "decimal": kind.kind not in {int, float},
            "true": kind.kind is not bool,
            "false": kind.kind is not bool,
        }
        part = self._less("ColumnField", [key for key, lacking in lacks.items() if lacking])
        if not plain or kind.many or several:
            part["properties"]["blank"] = {"enum": ["omit"]}
        if kind.allowed:
            words = {"type": "string", "enum": [*kind.allowed, ""]}
            told = self.parts["ColumnField"]["properties"]["translate"]
            part["properties"]["translate"] = told | {"additionalProperties": words}
        return part

    def _less(self, model: str, without: Iterable[str]) -> Schema:
        """Return a table's schema without some keys. What the others take is defined once for all kinds."""
        part = self.parts[model]
        keys = [key for key in part["properties"] if key not in without]
        return part | {"properties": {key: self._put(f"{model} {key}", part["properties"][key]) for key in keys}}

    def _put(self, name: str, schema: Schema) -> Schema:
        key = name.replace(",", "").replace(" ", "_")
        self.made[key] = schema
        return {"$ref": f"#/definitions/{key}"}


def _name(kind: FieldType) -> str:
    if kind.person:
        return "people" if kind.many else "person"
    names = {str: "text", date: "date", int: "whole number", float: "number", bool: "true or false"}
    what = f"one of {' '.join(kind.allowed)}" if kind.allowed else kind.form.name if kind.form else names[kind.kind]
    return f"list of {what}" if kind.many else what


def _constant(kind: FieldType) -> Schema:
    if kind.allowed:
        return {"type": "string", "enum": [*kind.allowed]}
    if kind.kind is date:
        return {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
    if kind.kind is str:
        return {"type": "string", "pattern": r"\S"}
    return {"type": {int: "integer", float: "number", bool: "boolean"}[kind.kind]}


def _of_label(label: Label) -> str:
    """Say what a label's entity is, from its model's first sentence."""
    first = inspect.cleandoc(label.entity.__doc__ or "").split("\n", 1)[0]
    many = f" At most {label.most}." if label.most else " Several." if label.several else ""
    return first + many
