"""``python -m tests.reference``: write the reference tables of docs/mapping.md, and the mapping's JSON Schema, anew."""

from __future__ import annotations

from tests.reference.schema import SCHEMA, schema_text
from tests.reference.tables import PAGE, ROOT, page

if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")  # noqa: T201
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    print(f"wrote {SCHEMA.relative_to(ROOT)}")  # noqa: T201
