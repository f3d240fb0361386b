"""The mapping file, and what it makes of a row: a `Person`, or a `Rejection` that says why.

A mapping is one TOML file that decides schema and items alike (``docs/mapping.md``). It is read once into a
`Mapping`, bound to the header of an export (`bind`), and then asked row by row.
"""

from connector.core.mapping.file import Mapping, MappingFile, PropertyPart
from connector.core.mapping.load import load_mapping
from connector.core.mapping.person import Fill, Person, Problem, Rejection, changed_fields, fill_of
from connector.core.mapping.rows import CELLS_DIGEST, MAX_KEY, MAX_VALUE, SEPARATOR, BoundMapping, bind, cells_digest

__all__ = [
    "CELLS_DIGEST",
    "MAX_KEY",
    "MAX_VALUE",
    "SEPARATOR",
    "BoundMapping",
    "Fill",
    "Mapping",
    "MappingFile",
    "Person",
    "Problem",
    "PropertyPart",
    "Rejection",
    "bind",
    "cells_digest",
    "changed_fields",
    "fill_of",
    "load_mapping",
]
