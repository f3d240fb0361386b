"""The tables of labels, entities and enumerations: what they say, and that no word of them can change unseen.

Three tables stand side by side, none made from another: the reference that was written down by hand, the models that
the connector holds every cell to, and what the simulated Graph takes.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import types
import typing
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import pytest

from connector.core import entities as ours
from connector.core.contracts import labels as our_contract
from connector.core.mapping import load_mapping
from tests.core.reference import ENTITY_RULES, LABEL_RULES, NOT_SUPPORTED, paths
from tests.tenant.graph import entities as theirs
from tests.tenant.graph.contracts import labels as their_contract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Rules = dict[str, Any]
"""Statements, by what they are about."""

REFERENCE: Rules = {
    "labels": {label: (rule.entity, rule.type != "string", rule.most) for label, rule in LABEL_RULES.items()},
    "one each": {label: rule.one_each for label, rule in LABEL_RULES.items() if rule.one_each},
    "unsupported": NOT_SUPPORTED,
    "entities": ENTITY_RULES,
    "paths": {label: paths(rule.entity) for label, rule in LABEL_RULES.items()},
}

_WORDS = {str: "text", date: "date", int: "int", float: "float", bool: "bool"}


def our_rules(module: Any = ours) -> Rules:
    """Return what the connector holds mappings and cells to."""
    models: dict[str, Any] = {}
    for label in module.LABELS.values():
        _reach(label.entity, module.Entity, models)
    return {
        "labels": {name: (_name(label.entity), label.several, label.most) for name, label in module.LABELS.items()},
        "one each": {name: label.one_each for name, label in module.LABELS.items() if label.one_each},
        "unsupported": module.UNSUPPORTED,
        "entities": {
            name: {field: _kind(info.annotation) for field, info in model.model_fields.items()}
            for name, model in models.items()
        },
        "paths": {name: _paths(module, label.entity) for name, label in module.LABELS.items()},
    }


def _name(model: type) -> str:
    return model.__name__[0].lower() + model.__name__[1:]


def _reach(model: Any, entity: type, found: dict[str, Any]) -> None:
    """Note a model, and those that its fields hold."""
    found[_name(model)] = model
    for info in model.model_fields.values():
        for inner in _parts(info.annotation):
            if isinstance(inner, type) and issubclass(inner, entity):
                _reach(inner, entity, found)


def _parts(annotation: Any) -> list[Any]:
    """Return what an annotation is made of, down to names and words."""
    args = typing.get_args(annotation)
    return [part for arg in args for part in _parts(arg)] if args else [annotation]


def _kind(annotation: Any) -> str:
    """Return what a field takes, in the reference's words."""
    inner = next(part for part in typing.get_args(annotation) if part is not types.NoneType)
    origin, args = typing.get_origin(inner), typing.get_args(inner)
    if origin is tuple:
        return f"[{_kind(args[0] | None)}]"
    if origin is Literal:
        return "|".join(args)
    if origin is typing.Annotated:
        return str(args[-1].name)
    return _WORDS.get(inner) or _name(inner)


def _paths(module: Any, entity: Any) -> dict[str, str]:
    found = {}
    for path in module.field_paths(entity):
        kind = module.field_type(entity, path)
        form = kind.form and kind.form.name
        word = "person" if kind.person else "|".join(kind.allowed) or form or _WORDS[kind.kind]
        found[path] = f"[{word}]" if kind.many else word
    return found


def their_rules(module: Any = theirs) -> Rules:
    """Return what the simulated Graph takes."""
    return {
        "labels": {
            name: (entity, their_contract.TYPES[name] != "string", module.AT_MOST.get(name))
            for name, entity in module.ENTITIES.items()
        },
        "entities": {
            name: {field: _taken(kind) for field, kind in shape.items()} for name, shape in module.SHAPES.items()
        },
        "one each": set(module.ONE_OF_EACH_TYPE),
    }


def _taken(kind: str) -> str:
    """Return what the simulated Graph takes, in the reference's words."""
    if kind.endswith("[]"):
        return f"[{_taken(kind[:-2])}]"
    return {"str": "text", "float:90": "latitude", "float:180": "longitude"}.get(kind) or kind.removeprefix("enum:")


def test_our_tables_are_the_documented_ones():
    """Labels, types, limits, entities, fields and members of enumerations: all of them, and no others."""
    assert our_rules() == REFERENCE


def test_the_simulated_graph_has_the_documented_tables():
    """It takes what is documented, by a table of its own."""
    assert their_rules() == {
        **{about: REFERENCE[about] for about in ("labels", "entities")},
        "one each": set(REFERENCE["one each"]),
    }
    assert set(their_contract.TYPES) == set(LABEL_RULES)


def test_the_simulated_graph_knows_nothing_of_ours():
    """A double that was made from the thing it stands against would take all its mistakes."""
    for module in (theirs, their_contract):
        modules = [
            node.module or ""
            for node in ast.walk(ast.parse(inspect.getsource(module)))
            if isinstance(node, ast.ImportFrom)
        ]
        assert [name for name in modules if name.startswith(("connector", "tests.core"))] == []


@pytest.mark.parametrize("label", sorted(LABEL_RULES))
def test_a_label_goes_on_its_own_type_of_property(label):
    """The schema that is registered has the documented type for each."""
    fields = (
        "" if label == "personAccount" else f'[property.fields]\n"{next(iter(paths(LABEL_RULES[label].entity)))}" = "A"'
    )
    account = "" if label == "personAccount" else '[[property]]\nname = "a"\nlabel = "personAccount"'
    text = f"""
        format = 1
        key.column = "Id"
        account.column = "Upn"
        {account}
        [[property]]
        name = "x"
        label = "{label}"
        {fields}
    """

    schema = our_contract.schema(load_mapping("ours", text.encode()))

    assert {prop["name"]: prop["type"] for prop in schema["properties"]}["x"] == LABEL_RULES[label].type


# --- mutations --------------------------------------------------------------------------------------------------------

Change = tuple[str, Any, str, Any]
"""What is changed, and how: a node's attribute takes another value."""


def _statements(tree: ast.Module, *names: str) -> list[ast.AST]:
    """Return the assignments to these names, all of them unless names are given."""
    found: list[ast.AST] = []
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and (not names or target.id in names):
            found.append(node)
    return found


def _model_changes(tree: ast.Module) -> Iterator[Change]:
    """Yield, for the models: each field dropped, renamed, of another type; each word dropped, changed."""
    models = [node for node in tree.body if isinstance(node, ast.ClassDef) and _bases(node) == ["Entity"]]
    for model in models:
        for field in [node for node in model.body if isinstance(node, ast.AnnAssign)]:
            name = f"{model.name}.{ast.unparse(field.target)}"
            other = "bool | None" if ast.unparse(field.annotation) == "int | None" else "int | None"
            yield f"{name} dropped", model, "body", [node for node in model.body if node is not field]
            yield f"{name} renamed", field.target, "id", "another"
            yield f"{name} retyped", field, "annotation", ast.parse(other, mode="eval").body
    for node in (node for part in [*models, *_statements(tree)] for node in ast.walk(part)):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
            yield from _word_changes(node.slice)
        if isinstance(node, ast.Set):
            yield from _word_changes(node)


def _bases(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(base) for base in node.bases]


def _word_changes(holder: Any) -> Iterator[Change]:
    for word in holder.elts:
        yield f"{word.value} dropped", holder, "elts", [other for other in holder.elts if other is not word]
        yield f"{word.value} renamed", word, "value", "another"


def _label_changes(tree: ast.Module) -> Iterator[Change]:
    """Yield, for the table of labels: each dropped, renamed, of another entity or other limits."""
    (labels,) = (node for node in ast.walk(_statements(tree, "LABELS")[0]) if isinstance(node, ast.Dict))
    for key, value in zip(labels.keys, labels.values, strict=True):
        assert isinstance(key, ast.Constant)
        assert isinstance(value, ast.Call)
        label = str(key.value)
        given = {str(keyword.arg): keyword for keyword in value.keywords}
        several = given["several"].value
        assert isinstance(several, ast.Constant)
        yield f"{label} renamed", key, "value", "personAnother"
        yield f"{label} of another entity", value.args[0], "id", "ItemBody"
        changed: dict[str, bool | int | str] = {"several": not several.value, "most": 7, "one_each": "displayName"}
        for name, other in changed.items():
            keyword = ast.keyword(name, ast.Constant(other))
            yield f"{label}: {name} {other}", value, "keywords", [*({**given, name: keyword}.values())]
        for name in given.keys() - {"several"}:
            yield f"{label}: no {name}", value, "keywords", [given[one] for one in given if one != name]


def _text_changes(tree: ast.Module, *tables: str) -> Iterator[Change]:
    """Yield, for tables that are written as text: each word dropped, each changed, each number raised."""
    for node in (node for part in _statements(tree, *tables) for node in ast.walk(part)):
        if isinstance(node, ast.keyword):
            yield f"{node.arg} renamed", node, "arg", "another"
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            yield f"{node.value} raised", node, "value", node.value + 1
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for found in re.finditer(r"\w+", node.value):
                before, after = node.value[: found.start()], node.value[found.end() :]
                yield f"{found[0]} dropped", node, "value", before + after
                yield f"{found[0]} renamed", node, "value", f"{before}another{after}"


EVERY = 1 if os.environ.get("CI", "").casefold() in {"1", "true"} else 7
"""Of so many changes one is tried: all of them in CI, where ten seconds do not matter."""


def _unseen(source: types.ModuleType, changes: Callable[[ast.Module], Iterator[Change]], rules: Any) -> list[str]:
    """Return what can be changed in a module's tables so that their rules stay the same; none may."""
    tree = ast.parse(inspect.getsource(source))
    before, unseen = rules(source), []
    tried = list(changes(tree))[::EVERY]
    for what, node, attribute, value in tried:
        former = getattr(node, attribute)
        setattr(node, attribute, value)
        if _rules_of(ast.fix_missing_locations(tree), rules) == before:
            unseen.append(what)
        setattr(node, attribute, former)
    assert tried
    return unseen


def _rules_of(tree: ast.Module, rules: Any) -> Rules | None:
    """Return the rules of a changed module; None when it cannot even be imported."""
    module = types.ModuleType("changed_tables")
    sys.modules[module.__name__] = module
    try:
        exec(compile(tree, "changed", "exec"), vars(module))  # noqa: S102
        found: Rules = rules(module)
    except (AttributeError, KeyError, NameError, StopIteration, TypeError, ValueError):
        return None
    finally:
        del sys.modules[module.__name__]
    return found


@pytest.mark.once
def test_no_rule_of_our_models_can_change_unseen():
    """A field or word dropped, renamed or of another type, in whatever entity, differs from the reference."""
    assert _unseen(ours, _model_changes, our_rules) == []


@pytest.mark.once
def test_no_rule_of_our_labels_can_change_unseen():
    """Another name, entity, number or limit of a label differs from the reference."""
    assert _unseen(ours, _label_changes, our_rules) == []


@pytest.mark.once
def test_no_rule_of_the_simulated_graph_can_change_unseen():
    """Its tables are held to the reference word by word too."""
    words = [name for name, value in vars(theirs).items() if name.isupper() and isinstance(value, str)]
    tables = ("SHAPES", "ENTITIES", "AT_MOST", "ONE_OF_EACH_TYPE", *words)

    assert _unseen(theirs, lambda tree: _text_changes(tree, *tables), their_rules) == []
    assert _unseen(their_contract, lambda tree: _text_changes(tree, "TYPES"), lambda module: module.TYPES) == []
