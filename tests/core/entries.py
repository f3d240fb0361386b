"""Entries of every shape, for properties that hold of any: those that fit the ledger's columns, and all others."""

from __future__ import annotations

import uuid

from hypothesis import strategies as st

from connector.core.accounts import REFERRED
from connector.core.contracts import contract_of
from connector.core.entry import FORMER, Entry

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\1\2\n\t\x1e\x1f aß"), max_size=8)
"""Whatever a text may be, and more often what columns are held together by."""

KEYS = st.one_of(st.sampled_from(["E1", "E2", "E3", "E10"]), TEXT, TEXT.map(FORMER.__add__), TEXT.map(REFERRED.__add__))
UPNS = st.one_of(TEXT, st.sampled_from(["ada@contoso.com", "Ada@Contoso.com", " ada@contoso.com "]))
USERS = st.one_of(
    st.just(""), TEXT, st.uuids().map(str), st.just(str(uuid.UUID(int=0))), st.uuids().map(lambda u: u.hex)
)
DIGESTS = st.one_of(st.binary(min_size=16, max_size=16), st.binary(max_size=20))
FIELDS = st.one_of(
    st.binary(max_size=12),
    st.lists(st.integers(0, 2), min_size=3, max_size=3).map(lambda cells: b"kind" + bytes(cells)),
    st.lists(st.integers(0, 2), min_size=3, max_size=3).map(lambda cells: b"KIND" + bytes(cells)),
)
COUNTS = st.one_of(st.just(0), st.integers(0, 300))
TIMES = st.one_of(st.just(0), st.integers(0, 9), st.integers(0, 2**40))
CODES = st.one_of(st.sampled_from(["", "no_account", "conflict"]), TEXT)

ENTRIES = st.builds(
    Entry,
    key=KEYS,
    item_id=TEXT,
    upn=UPNS,
    user_id=USERS,
    source=DIGESTS,
    item=DIGESTS,
    references=st.lists(KEYS, max_size=3).map(tuple),
    state=st.sampled_from(["sent", "doubt", "failed", "unmatched", "outside"]),
    held=st.booleans(),
    absent=COUNTS,
    resolved=TIMES,
    sent=TIMES,
    failures=COUNTS,
    retry_at=TIMES,
    code=CODES,
    asked=UPNS,
    fields=FIELDS,
)


def labels_id(key: str, upn: str) -> str:
    """Return the item id that the labels contract makes."""
    return contract_of("labels").item_id("contosohr", key=key, upn=upn)


PLAIN = st.builds(
    lambda number, cells, resolved: Entry(
        key=f"E{number}",
        item_id=labels_id(f"E{number}", ""),
        upn=f"e{number}@contoso.com",
        user_id=str(uuid.UUID(int=number)),
        source=number.to_bytes(16, "big"),
        item=number.to_bytes(16, "little"),
        references=(f"E{number // 3}",),
        state="sent",
        held=True,
        resolved=resolved,
        sent=resolved,
        fields=b"kind" + bytes(cells),
    ),
    number=st.integers(1, 30),
    cells=st.lists(st.integers(0, 2), min_size=3, max_size=3),
    resolved=st.integers(0, 2**32 - 1),
)
"""Entries that fit the columns, of whom nothing need be decided."""

SEVERAL = st.lists(st.one_of(PLAIN, PLAIN, ENTRIES), max_size=12).map(
    lambda entries: {entry.key: entry for entry in entries}
)
"""Entries by key: mostly plain ones, and some of every other shape."""
