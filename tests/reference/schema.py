"""The published JSON Schema of the mapping file, as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from connector.core.mapping.json_schema import mapping_schema

SCHEMA: Final = Path(__file__).parents[2] / "connector" / "mappings" / "mapping.schema.json"


def schema_text() -> str:
    """Return what the published file must hold."""
    return json.dumps(mapping_schema(), ensure_ascii=False, indent=1) + "\n"
