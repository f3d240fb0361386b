"""``python -m tests.beliefs``: write docs/graph.md."""

from __future__ import annotations

from tests.beliefs.page import PAGE, ROOT, page

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")  # noqa: T201
