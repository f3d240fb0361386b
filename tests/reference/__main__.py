"""``python -m tests.reference``: write the reference tables of docs/mapping.md anew."""

from __future__ import annotations

from tests.reference.tables import PAGE, ROOT, page

if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")  # noqa: T201
