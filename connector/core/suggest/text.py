"""A first mapping as text: TOML that loads as it is, with comments for the person who reads it through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connector.core.sensitive import words
from connector.core.suggest.identity import account_of, key_of, leave_of, status_of
from connector.core.suggest.properties import properties
from connector.core.suggest.sheet import sheet
from connector.core.toml import comment, quoted, strings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from connector.core.suggest.columns import Column, Table
    from connector.core.suggest.identity import Account, Key, Status
    from connector.core.suggest.properties import Field, Property
    from connector.core.suggest.sheet import Known, Sheet


def suggest(name: str, table: Table) -> str:
    """Return the text of a first mapping for a file of this name, whose rows have gone by.

    It holds no cell of the file but the words of columns that say who is in scope and what kind of worker somebody is.

    Raises:
        BadRequest: no column can be the person's key.
    """
    found = sheet(table)
    key = key_of(found)
    account = account_of(found, key)
    status = status_of(found)
    parts = properties(found, key, account)
    lines = [
        *comment(
            f"A first mapping for {name}, suggested from its {len(found.columns)} columns and {found.rows:,} rows."
        ),
        *comment("It is a beginning: read it through, decide what stands below, and then check it:"),
        *comment("python -m connector mapping check THIS.toml FILE.csv", indent="#     "),
        "#",
        *_decisions(found, key, account, status),
        "",
        "format = 1",
        f"description = {quoted(f'Suggested for {name}; not yet read through.')}",
        "",
        *_file(found, _used(key, account, parts)),
        *_key(key, rows=found.rows),
        *_account(found, key, account),
        *_status(found, status),
        *(_leave(found) if status else ()),
        *_scope(found),
        *_effective(found, key),
    ]
    for part in parts:
        lines += _property(part)
    lines += _rest(found, key, account, parts, status)
    return "\n".join(lines).rstrip() + "\n"


def _used(key: Key, account: Account, parts: Sequence[Property]) -> frozenset[str]:
    filled = (part.columns for part in parts)
    return frozenset((key.known.name, account.known.name)).union(*filled)


# --- what a person must decide ----------------------------------------------------------------------------------------


def _decisions(found: Sheet, key: Key, account: Account, status: Status | None) -> Iterator[str]:
    yield "# To be decided by a person:"
    for number, text in enumerate(_questions(found, key, account, status), 1):
        yield from comment(text, indent=f"#  {number}. ")


def _questions(found: Sheet, key: Key, account: Account, status: Status | None) -> Iterator[str]:
    by = f"by {account.match}, from the column {account.known.name}"
    yield f"How people are found in Entra ([account]): {by}. Is that right?"
    column = key.known.column
    if column.repeated or column.blank:
        yield f"The key ([key]): {_flaws(column)}."
    if status is None:
        yield "No column says who has left: people leave by being absent from a complete export."
    elif status.states.unknown:
        words_ = f"Words of {status.known.name} that are not known"
        yield f"{words_} ([status]): rows that have one are rejected until it is listed."
    unsure = [known.name for known in found.columns if known.column.either and not known.alarm]
    if unsure:
        yield f"Whether the day or the month comes first in {', '.join(unsure)}: no cell tells."
    if found.all(*_WHERE):
        yield "Whether the addresses are those of offices (personAddresses): homes must not be sent."
    alarms = [known.name for known in found.columns if known.alarm]
    if alarms:
        yield f"Nothing about these columns, which look sensitive and are left out: {', '.join(alarms)}."


_WHERE: Final = ("street", "postOfficeBox", "postalCode", "city", "state", "country")


def _flaws(column: Column) -> str:
    blank = f"{column.blank:,} {'is' if column.blank == 1 else 'are'} blank" if column.blank else ""
    holds = "holds" if column.repeated == 1 else "hold"
    repeated = f"{column.repeated:,} {holds} a value that stands further up" if column.repeated else ""
    return f"of {column.rows:,} cells of {column.name}, {' and '.join(filter(None, (blank, repeated)))}"


# --- the tables before the properties ---------------------------------------------------------------------------------


def _file(found: Sheet, used: Collection[str]) -> Iterator[str]:
    lines = []
    if found.labels:
        lines.append("header_rows = 2                         # the row under the names has labels for people")
    blanks = {
        word.casefold(): word
        for known in found.columns
        if known.name in used and not (known.meaning and known.meaning.of in _PEOPLE)
        for word in known.column.sentinels
    }
    if blanks:
        lines += [
            *comment("Cells of this file that say nothing. They count as blank."),
            f"blanks = {strings(blanks.values())}",
        ]
    if lines:
        yield from ("[file]", *lines, "")


_PEOPLE: Final = frozenset(("manager", "managerKey", "managerMail", "dotLine", "assistant"))


def _key(key: Key, *, rows: int) -> Iterator[str]:
    column = key.known.column
    yield from comment("The person's key in the HR system: different for everybody, never reused, never changed.")
    if column.repeated or column.blank:
        yield from comment(
            f"CHECK: {_flaws(column)}. If one person has several rows, [effective] or [[scope]] can say which one"
            " counts; if different people share a number, it is no key."
        )
    elif not rows:
        yield from comment("CHECK: the file has no rows, so nothing tells whether it is different for everybody.")
    if column.looks_like("mail"):
        yield from comment("CHECK: a mail address changes when people change their name. An employee number is better.")
    yield from (*key.toml, "")


def _account(found: Sheet, key: Key, account: Account) -> Iterator[str]:
    yield from comment(f"How a row finds its Entra user: {account.why}")
    column = account.known.column
    if column.blank and account.known is not key.known:
        yield from comment(f"CHECK: {column.blank:,} of {column.rows:,} cells are blank; those rows are rejected.")
    if account.match == "employeeId":
        login = found.first("user") or account.known
        yield from comment("If logins can be made of a column, write this instead, with your domain:")
        yield from ('# template = "' + _in_template(login.name) + '@YOUR-DOMAIN"', '# match = "userPrincipalName"')
    yield from (*account.toml, "")


def _in_template(column: str) -> str:
    return quoted("{" + column + "}")[1:-1]


def _status(found: Sheet, status: Status | None) -> Iterator[str]:
    if status is None:
        named = found.first("status", "gone")
        told = f"The column {named.name} may say who has left, but not in few words" if named else ""
        yield from comment(
            f"{told or 'No column says who has left'}, so everybody in the file is in scope. If there is one:"
        )
        yield from (
            "# [status]",
            *comment(f"column = {quoted(named.name if named else '…')}"),
            '# in_scope = ["Active"]',
            '# leaver = ["Terminated"]',
            "",
        )
        return
    states = status.states
    yield from comment("Who is in scope, who is on leave (in scope, too), and who has left. Compared without case.")
    yield from comment("The profile of somebody who has left is removed.")
    if states.unknown:
        yield from _unknown(states.unknown)
    if not states.leaver:
        yield from comment("CHECK: no word of this file says that somebody has left. Ask HR which do, and add them.")
    blank = status.known.column.blank
    if blank:
        yield from comment(
            f'CHECK: {blank:,} cells are blank and count as in scope; with blank = "leaver" they do not.'
        )
    yield from ("[status]", f"column = {quoted(status.known.name)}", f"in_scope = {strings(states.in_scope)}")
    if states.on_leave:
        yield f"on_leave = {strings(states.on_leave)}"
    yield from (f"leaver = {strings(states.leaver)}", "")


_SHOWN: Final = 20


def _unknown(unknown: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Tell the words that are not known. One that stands in a single row may be anything, and stays untold."""
    often = [f"{word} ({count:,} rows)" for word, count in unknown if count > 1][:_SHOWN]
    others = len(unknown) - len(often)
    more = [f"{others} {'word' if others == 1 else 'words'} of single rows"] if others else []
    yield from comment(
        f"CHECK: not known: {', '.join((*often, *more))}. Rows with such a word are rejected, and their people stay as"
        " they are, until it stands in one of the lists: nobody is sent or removed by a guess."
    )


def _leave(found: Sheet) -> Iterator[str]:
    if leave := leave_of(found):
        known, words_ = leave
        yield from comment("Who is on leave: they stay, whatever [status] says of them.")
        yield from ("[leave]", f"column = {quoted(known.name)}", f"words = {strings(words_)}", "")


def _scope(found: Sheet) -> Iterator[str]:
    for known in found.all("employeeType"):
        kinds = [word for word, count in known.column.words.items() if count > 1]
        if len(kinds) > 1:
            yield from comment("To send some kinds of people only:")
            yield from (
                "# [[scope]]",
                *comment(f"column = {quoted(known.name)}"),
                *comment(f"is = {strings(kinds)}"),
                "",
            )
            return


def _days(found: Sheet) -> tuple[Known | None, Known | None]:
    """Return the columns of the first and the last day of a row."""
    return found.first("from"), found.first("until", "endDate")


def _effective(found: Sheet, key: Key) -> Iterator[str]:
    """Yield what says which row of a person counts: for certain where keys repeat and the dates can be read."""
    begins, ends = _days(found)
    if not (begins or ends):
        return
    dates = begins.column.dates if begins else ends.column.dates if ends else ()
    same = not (begins and ends) or begins.column.dates == ends.column.dates or not ends.column.filled
    lines = ["[effective]"]
    if begins:
        lines.append(f"from = {quoted(begins.name)}")
    if ends and (same or not begins):
        lines.append(f"until = {quoted(ends.name)}")
    if dates not in {(), ("YYYY-MM-DD",)}:
        lines.append(f"dates = {strings(dates)}")
    if begins and dates and key.known.column.repeated:
        yield from comment(
            "Keys repeat and rows have a date from which they count: of each person the latest one begun counts."
        )
        yield from (*lines, "")
    else:
        yield from comment(
            "To let a row count from one day to another only (somebody whose last day is past has left):"
        )
        yield from (f"# {line}" for line in lines)
        yield ""


# --- properties -------------------------------------------------------------------------------------------------------


def _property(part: Property) -> Iterator[str]:
    mark = "" if part.is_sent else "# "
    if part.note:
        yield from comment(part.note)
    yield from (f"{mark}[[property]]", f"{mark}name = {quoted(part.name)}", f"{mark}label = {quoted(part.label)}")
    for group in part.groups:
        yield f"{mark}[property.fields]" if len(part.groups) == 1 else f"{mark}[[property.entity]]"
        for field in group:
            yield from _field(field, mark)
    yield ""


_COLUMN: Final = 60
"""Where the comment behind a field begins, if the field is short enough."""


def _field(field: Field, mark: str) -> Iterator[str]:
    path = quoted(field.path) if "." in field.path else field.path
    line = f"{path} = {field.toml}"
    if field.doubt:
        yield from comment(f"{field.doubt[0].upper()}{field.doubt[1:]}:")
    line = f"{mark or ('# ' if field.doubt else '')}{line}"
    why = f"  # {field.why}" if field.why and not field.doubt else ""
    if why and len(line) > _COLUMN:
        yield from comment(field.why if field.why.endswith("?") else f"{field.why}:")
        why = ""
    yield f"{line:{_COLUMN}}{why}".rstrip()


# --- what is left -----------------------------------------------------------------------------------------------------


def _rest(found: Sheet, key: Key, account: Account, parts: Sequence[Property], status: Status | None) -> Iterator[str]:
    """Yield the columns that nothing is filled from: sensitive ones, empty ones, those of custom properties perhaps."""
    used = set(_used(key, account, parts))
    used |= {status.known.name} if status else set()
    used |= {leave[0].name} if status and (leave := leave_of(found)) else set()
    used |= {known.name for known in _days(found) if known}
    left = [known for known in found.columns if known.name not in used]
    alarms = [known for known in left if known.alarm]
    empty = [known for known in left if not known.alarm and found.empty(known)]
    others = [known for known in left if known not in alarms and known not in empty]
    if alarms:
        yield from comment(
            "Not mapped, because they look sensitive. Everything that is ingested is visible to everyone:"
        )
        for known in alarms:
            yield from comment(f"{quoted(known.name)} looks like {known.alarm}", indent="#   ")
        yield ""
    if empty:
        yield from comment(
            f"Not mapped, because nobody has a value: {', '.join(quoted(known.name) for known in empty)}"
        )
        yield ""
    if others:
        yield from comment(
            "Not mapped. Each could become a property of your own: take the # away from its lines. Copilot finds such"
            " properties by their description, so say there what they mean."
        )
        yield "#"
        names = {part.name.casefold() for part in parts}
        for place, known in enumerate(others, 1):
            name = _property_name(known.name, place, names)
            names.add(name.casefold())
            yield from _custom(found, known, name)


def _custom(found: Sheet, known: Known, name: str) -> Iterator[str]:
    yield from comment(_look(found, known))
    label = " ".join((known.label or known.name).split())[:_LONGEST]
    lines = (
        "[[property]]",
        f"name = {quoted(name)}",
        f"description = {quoted(label)}",
        f"column = {quoted(known.name)}",
    )
    yield from (f"# {line}" for line in lines)
    yield "#"


_LONGEST: Final = 200
"""Characters in a description: https://learn.microsoft.com/graph/api/resources/externalconnectors-property."""
_NAME: Final = 32
"""Characters in a property's name."""

_TELLING: Final = 3
"""Cells from which their form is told."""

_LOOKS: Final = {
    "mail": "mail addresses", "url": "web addresses", "guid": "GUIDs", "name and id": "names with an id in brackets",
    "last, first": "names, last name first", "comma number": "numbers with a decimal comma", "number": "numbers",
    "id": "ids", "phone": "telephone numbers",
}  # fmt: skip


def _look(found: Sheet, known: Known) -> str:
    column = known.column
    if not column.filled:
        return f"{known.name}:"
    share = f"filled in {100 * column.filled // max(column.rows, 1)} % of the rows"
    if column.dates or column.either:
        look = f"dates ({' or '.join(column.dates or column.either or ())})"
    else:
        forms = _LOOKS.items() if column.filled >= _TELLING else ()
        look = next((text for form, text in forms if column.looks_like(form)), "text")
    few = f", {len(column.words)} different" if column.words and column.repeated else ""
    same = known.meaning and found.first(known.meaning.of)
    like = f"; perhaps the same as {same.name}" if same and same != known else ""
    return f"{known.name}: {look}{few}, {share}{like}"


def _property_name(column: str, place: int, taken: Collection[str]) -> str:
    """Return a name that Graph takes and no other property has: letters and digits of ASCII, 32 at most."""
    told = ["".join(filter(str.isascii, word)) for word in words(column)]
    told = [word for word in told if word]
    plain = "".join((*told[:1], *(word.capitalize() for word in told[1:])))[:_NAME] or f"column{place}"
    return next(name for name in _numbered(plain) if name.casefold() not in taken)


def _numbered(name: str) -> Iterable[str]:
    yield name
    number = 2
    while True:
        yield f"{name[: _NAME - len(str(number))]}{number}"
        number += 1
