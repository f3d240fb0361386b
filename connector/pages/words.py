"""What a report's codes mean to people, and who does what about them.

A code that is not here is shown as it is: a report of another release is still readable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Who = Literal["HR", "Operator", "By itself"]
"""Who does something about it."""


@dataclass(frozen=True, slots=True)
class OutcomeWords:
    """How an outcome is shown: the badge's tone and sign, and what it means."""

    tone: Literal["good", "calm", "wait", "bad"]
    sign: str
    meaning: str


OUTCOMES: Final[Mapping[str, OutcomeWords]] = {
    "completed": OutcomeWords("good", "✓", "The run went through to its end."),
    "unchanged": OutcomeWords(
        "good", "✓", "The export was read to its end. Nobody had to be added, updated or removed."
    ),
    "held": OutcomeWords(
        "wait",
        "!",
        "Whoever is new or changed was dealt with. Removals are held back: those people keep their profiles for now.",
    ),
    "refused": OutcomeWords(
        "bad",
        "✗",
        "The export was not taken. Nobody was added, updated or removed. All profiles stay as they were.",
    ),
    "partial": OutcomeWords(
        "calm",
        "…",
        "The time of one invocation was not enough. Nothing is lost: the next one goes on where this one stopped.",
    ),
    "superseded": OutcomeWords(
        "calm",
        "»",
        "The run was not finished, because a newer export, other settings or a newer request took its place."
        " What was done counts. The rest is planned anew by the next run.",
    ),
    "failed": OutcomeWords(
        "bad", "✗", "The run could not go on. What was done until then counts, and nobody is removed by mistake."
    ),
}


UNKNOWN_OUTCOME: Final = OutcomeWords("calm", "?", "This page does not know the outcome. The numbers are as reported.")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a run was refused or failed: in a few words, who mends it, and how.

    ``means`` says of a file's code when it is given: the tables of docs/mapping.md have it.
    """

    short: str
    who: Who
    remedy: str
    means: str = ""


FAULTS: Final[Mapping[str, Fault]] = {
    # --- the file as a whole ---
    "empty_file": Fault(
        "the file is empty",
        "HR",
        "Export again. Look into the file before you drop it: it needs a header and rows.",
        "It has no bytes, no header, or no rows.",
    ),
    "missing_column": Fault(
        "a required column is missing",
        "HR",
        "Add the column, or give it back its name. Case, spaces, “_” and “-” in a header do not matter.",
        "A column of the key, of the account, of a filter, of leave or of effective dates is not there.",
    ),
    "duplicate_column": Fault(
        "a column appears twice",
        "HR",
        "Remove or rename one of the two columns, so that each header appears once.",
        "Two columns have the same name.",
    ),
    "undecodable": Fault(
        "it cannot be read as a CSV file",
        "HR",
        "Save it as CSV in UTF-8. A .zip must hold exactly one CSV file.",
        "It is no text, has more than 10,000 columns, is a `.zip` without exactly one CSV, or is larger than"
        " 1 GiB unpacked.",
    ),
    "truncated": Fault(
        "the file is not whole",
        "HR",
        "Export and upload it again, with its manifest if it has one. The two must belong together.",
        "It ends inside quotes or packing, or without the line break that the last export ended in, or does"
        " not agree with its manifest.",
    ),
    "too_many_rejected": Fault(
        "too many rows are wrong",
        "HR",
        "Look at the rejected rows below: often one column has another format than before. Mend the whole export.",
        "More rows are rejected than `MAX_REJECT_PERCENT`: there is no quarantine file then, and the report lists the"
        " rows. Or the rejected rows are larger than 256 MiB.",
    ),
    "different_export": Fault(
        "it looks like a different export",
        "HR",
        "Look whether it is the right file. If it is, give it the name that the exports before it had, or upload a"
        " manifest beside it that lists all files that everybody is in.",
        "It is complete, and its name, digits aside, is not that of the last applied export; or it is one file, and"
        " the last population was made of several.",
    ),
    "rekeyed": Fault(
        "many people have another key than before",
        "HR",
        "Check the key column. If the HR system was really renumbered, talk to the operator first.",
        "More than five accounts, and more than 1 %, have another key than before.",
    ),
    "everyone": Fault(
        "it would remove everybody",
        "HR",
        "Check that the export holds the right people, and that keys and status words are as before.",
        "Nobody of those whom Graph holds would stay.",
    ),
    "match_rate": Fault(
        "too few people have an Entra account",
        "HR",
        "Check the column with the user principal names. Were people or domains renamed?",
        "Entra knows fewer of the accounts than `MIN_MATCH_PERCENT`.",
    ),
    "column_emptied": Fault(
        "a column has gone blank",
        "HR",
        "Look at the columns that the message names: are they there, are they filled? Export again. If they are meant"
        " to be blank from now on, talk to the operator first.",
        "A column that was filled for a fifth of the people has lost more than half of its cells since the last"
        " complete export.",
    ),
    "field_changed": Fault(
        "a column says something else of too many people",
        "HR",
        "Look whether the column stands where it belongs and has the form it had: one that was shifted, or sorted"
        " without the others, gives people each other's values. If so many have really changed, talk to the operator.",
        "The cells of one column have changed for more than `MAX_CHANGE_PERCENT` of the people.",
    ),
    "cells_changed": Fault(
        "it says something else of too many people",
        "HR",
        "Compare it with the last export. If so many people have really changed, talk to the operator.",
        "More than `MAX_CHANGE_PERCENT` of the people have a cell that changed.",
    ),
    "mapping_change": Fault(
        "the mapping was changed, for too many people",
        "Operator",
        "Look at what the mapping makes of a few people now. If it is meant, let it pass.",
        "The changed mapping makes another item of more than `MAX_CHANGE_PERCENT` of those that Graph holds.",
    ),
    # --- the connector and what is around it ---
    "configuration": Fault("settings or mapping are wrong", "Operator", "Mend every setting that the message names."),
    "not_ready": Fault(
        "it is not ready yet", "Operator", "Do what the message says. Then call setup until it is done."
    ),
    "conflict": Fault("the present state does not allow it", "Operator", "Do what the message says."),
    "credential": Fault(
        "there is no access token",
        "Operator",
        "Check the identity that the message names: its secret in the key vault, and its app registration.",
    ),
    "denied": Fault(
        "Microsoft Graph denied access",
        "Operator",
        "Grant the identity what the message names. A new role can take an hour to work.",
    ),
    "rejected": Fault(
        "Microsoft Graph refused a request", "Operator", "Read the message. The request id helps Microsoft's support."
    ),
    "throttled": Fault(
        "Microsoft Graph is too busy",
        "By itself",
        "It is tried again later. Other load on the tenant may be the cause.",
    ),
    "unavailable": Fault(
        "Microsoft Graph did not answer",
        "By itself",
        "It is tried again later. Look at Microsoft 365's service health.",
    ),
    "graph": Fault(
        "Microsoft Graph reported an error", "Operator", "Read the message. The request id helps Microsoft's support."
    ),
    "out_of_time": Fault("the time was up before Microsoft Graph answered", "By itself", "It is tried again later."),
    "too_many_failed": Fault(
        "too many people could not be sent",
        "Operator",
        "It is not the people: look at the code in the message, and at the events “item.failed” in the log.",
    ),
    "connection_missing": Fault(
        "the connection in Microsoft 365 is gone",
        "Operator",
        "Run setup: it makes the connection anew, and everyone is sent again.",
    ),
    "connection_emptied": Fault(
        "Microsoft 365 has lost what was sent",
        "By itself",
        "The next run sends everyone again. Find out who emptied the connection, or made it anew.",
    ),
    "store": Fault("the connector's own state cannot be used", "Operator", "Check the state container."),
    "store_unavailable": Fault(
        "the storage account did not answer",
        "Operator",
        "Check the storage account that the message names: network rules, roles, containers.",
    ),
    "busy": Fault("another run is at work", "By itself", "It is tried again later."),
    "lease_lost": Fault("another run took over", "By itself", "Look at the report of the newer run."),
    "state_changed": Fault("another run took over", "By itself", "Look at the report of the newer run."),
    "blob_absent": Fault("a blob is gone", "Operator", "Restore the blob from its versions, or drop the export again."),
    "blob_full": Fault("a journal is full", "By itself", "The next run starts a new one."),
    "head_corrupt": Fault(
        "the connector's memory cannot be read",
        "Operator",
        "Restore head.json in the state container from its versions.",
    ),
    "ledger_missing": Fault("the connector's memory is missing", "Operator", "Do what the message says."),
    "plan_corrupt": Fault(
        "the stored plan of an unfinished run cannot be read",
        "Operator",
        "Restore it in the state container from its versions, or run: sync --full --rebuild.",
    ),
    "journal_corrupt": Fault(
        "the journal of an unfinished run cannot be read",
        "Operator",
        "Restore it in the state container from its versions, or run: sync --full --rebuild.",
    ),
    "connection_corrupt": Fault(
        "what setup remembers of the connection cannot be read",
        "Operator",
        "Delete connection.json in the state container and run setup: everyone is sent again.",
    ),
    "disk": Fault(
        "the temporary folder has no room for the export",
        "Operator",
        "Do what the message says; the next tick tries again.",
    ),
    "internal": Fault(
        "the connector made a mistake",
        "Operator",
        "Report it with the place that the message names; the next tick tries again.",
    ),
    "ledger_corrupt": Fault(
        "the connector's memory cannot be read",
        "Operator",
        "Restore the ledger in the state container from its versions, or run: sync --full --rebuild.",
    ),
    "ledger_format": Fault(
        "the connector's memory belongs to another release",
        "Operator",
        "Deploy the release that wrote it, or a newer one.",
    ),
    "copy_missing": Fault(
        "our copy of the last export is gone", "By itself", "The next export mends it; nothing is sent until then."
    ),
    "plan_missing": Fault(
        "the plan of the unfinished run is gone",
        "Operator",
        "Restore it in the state container from its versions, or run: sync --full --rebuild.",
    ),
}

DENIED: Final = frozenset(
    {"accessDenied", "Authorization_RequestDenied", "Forbidden", "InvalidAuthenticationToken", "Unauthorized"}
)
"""Graph's own codes for a missing permission. https://learn.microsoft.com/graph/errors"""

UNKNOWN_FAULT: Final = Fault("it met an error", "Operator", "Read the message: it says what was found.")


def fault(code: str) -> Fault:
    """Return the words for an error code: ours, or one of Graph's."""
    return FAULTS["denied"] if code in DENIED else FAULTS.get(code, UNKNOWN_FAULT)


@dataclass(frozen=True, slots=True)
class RowWords:
    """What is wrong with a row, how HR mends it, and when it is said (as docs/mapping.md has it)."""

    name: str
    remedy: str
    means: str


ROW_CODES: Final[Mapping[str, RowWords]] = {
    "missing_key": RowWords(
        "Key is missing",
        "Fill in the person's key. Without it nobody can tell whose row it is.",
        "The key is blank. As long as there is such a row, nobody is removed for being absent.",
    ),
    "duplicate_key": RowWords(
        "Key appears twice",
        "Leave one row for each person, with a key and an account of their own. None was taken.",
        "The key stands in several rows that count alike and differ, or (contract `preview`) two UPNs come to"
        " one item id. None of them is taken.",
    ),
    "missing_account": RowWords(
        "Account is missing",
        "Fill in what the message names: it leads to the Entra user.",
        "The account is blank.",
    ),
    "bad_account": RowWords(
        "Account is not valid",
        "Write it as the message says. Where several Entra users have it, IT leaves it to one of them.",
        "It can be nobody's account, or several Entra users have it.",
    ),
    "duplicate_account": RowWords(
        "Account belongs to several people",
        "Give each person an account of their own. None of them was taken.",
        "Several people in scope have this account, as the file says or as Entra answers. None of them is taken.",
    ),
    "bad_date": RowWords(
        "Date is not valid",
        "Write the date as the message says, and only dates that exist.",
        "It is no date in the mapping's formats, or one that does not exist; or a row's last day lies before"
        " its first.",
    ),
    "bad_number": RowWords(
        "Number is not valid",
        "Write the number as the message says.",
        "It is no number, no whole one where one is wanted, or a place that is not on earth.",
    ),
    "not_allowed": RowWords(
        "Word is not allowed",
        "Use one of the words that the message lists, or write it as the message says.",
        "The word is not one of those allowed, text is not what the mapping expects, or no address or tag"
        " where one is wanted. The message says what is.",
    ),
    "too_many": RowWords(
        "Too many values",
        "Leave as many values in the cell as are allowed.",
        "There are more values than Graph takes: e-mail addresses, postal addresses, or two of a type of"
        " which it takes one.",
    ),
    "too_long": RowWords(
        "Text is too long",
        "Shorten it, or remove what does not belong there.",
        "The key is over 256, a cell over 20,000 characters long, holds a NUL byte, or (contract `preview`) a"
        " UPN makes an item id of over 128.",
    ),
    "bad_row": RowWords(
        "Row has the wrong shape",
        "Give the row as many cells as the header. Put text with a delimiter in quotes.",
        "The row has another number of cells than the header, or broken quotes. Its key is not read.",
    ),
    "bad_text": RowWords(
        "Text cannot be read",
        "Save the file as CSV in UTF-8.",
        "It holds bytes that are no text in the file's encoding.",
    ),
}

UNMATCHED: Final[Mapping[str, str]] = {
    "no_account": "no Entra user has this account",
    "guest": "is a guest",
}

PEOPLE: Final[Mapping[str, str]] = {
    "left": "has a status word of those who left",
    "absent": "is not in the export, or out of scope there",
    "transferred": "the account has another key now",
    "in_doubt": "Microsoft Graph did not answer; it may have taken effect",
    "changed": "Microsoft 365 had something else than was sent",
    "vanished": "Microsoft 365 had nothing",
    "transfer_waits": "the account's new item could not be written, so the old one stays",
}
"""Why somebody is held, missing or failed; another word is Graph's own code."""

_STAYS: Final = "Who is not in the export keeps the entry in their profile, and nobody can say who that is."
_HEAD_LOST: Final = (
    "The blob head.json was lost, and made anew of the newest ledger. Everyone is sent again. What was held, approved"
    " or refused until then is forgotten."
)

WARNINGS: Final[Mapping[str, tuple[str, str]]] = {
    "encoding_changed": (
        "The file has another encoding than the last export. Look whether names with accents are right.",
        "The file has another encoding than the last export. Look whether names with accents are right.",
    ),
    "delimiter_changed": (
        "The file has another delimiter than the last export.",
        "The file has another delimiter than the last export.",
    ),
    "skipped_lines_changed": (
        "The file has more or fewer lines that are neither header nor data than the last export.",
        "The file has more or fewer lines that are neither header nor data than the last export.",
    ),
    "older_export": (
        "{n} older export was passed over, since this one is complete. If it was a correction, drop it again.",
        "{n} older exports were passed over, since this one is complete. Drop corrections among them again.",
    ),
    "missing_columns": (
        "{n} column of the mapping is not in the export. It is treated as blank.",
        "{n} columns of the mapping are not in the export. They are treated as blank.",
    ),
    "unreadable_keys": (
        "{n} rejected row has no readable key. It may be anybody's, so nobody is removed for being absent.",
        "{n} rejected rows have no readable key. They may be anybody's, so nobody is removed for being absent.",
    ),
    "account_disabled": (
        "{n} person has a disabled Entra account. The profile is sent all the same.",
        "{n} people have a disabled Entra account. Their profiles are sent all the same.",
    ),
    "no_mail": (
        "{n} person has no mail address in Entra, so perhaps no mailbox. Without one, no profile may show.",
        "{n} people have no mail address in Entra, so perhaps no mailbox. Without one, no profile may show.",
    ),
    "manager_unknown": (
        "{n} person has a manager whom nobody knows. The profile is sent without a manager.",
        "{n} people have a manager whom nobody knows. Their profiles are sent without a manager.",
    ),
    "manager_loop": (
        "{n} person is their own manager, directly or round a loop. The profile is sent without a manager.",
        "{n} people are their own manager, directly or round a loop. Their profiles are sent without a manager.",
    ),
    "item_changed": (
        "{n} person's entry in Microsoft 365 was not as it had been sent. It is sent again.",
        "{n} people's entries in Microsoft 365 were not as they had been sent. They are sent again.",
    ),
    "item_vanished": (
        "{n} person's entry in Microsoft 365 had vanished. It is sent again.",
        "{n} people's entries in Microsoft 365 had vanished. They are sent again.",
    ),
    "not_read_back": (
        "{n} entry could not be read back, since Microsoft Graph did not answer.",
        "{n} entries could not be read back, since Microsoft Graph did not answer.",
    ),
    "former_item_kept": (
        "{n} person has a new UPN, and the entry under the old one could not be removed yet. It is tried again.",
        "{n} people have a new UPN, and the entries under the old ones could not be removed yet. It is tried again.",
    ),
    "approval_outdated": (
        "An approval came to nothing: what it was given for has changed since.",
        "{n} approvals came to nothing: what they were given for has changed since.",
    ),
    "approval_expired": (
        "An approval came to nothing: it was more than 72 hours old when its turn came.",
        "{n} approvals came to nothing: they were more than 72 hours old when their turn came.",
    ),
    "ledger_begun_anew": (
        f"The memory of Microsoft Graph's items was lost and begun anew; the last count was {{n}}. {_STAYS}",
        f"The memory of Microsoft Graph's items was lost and begun anew; the last count was {{n}}. {_STAYS}",
    ),
    "run_forgotten": (
        f"The plan or journal of an unfinished run was lost, and with it whom that run had sent. {_STAYS}",
        f"The plans or journals of unfinished runs were lost, and with them whom those runs had sent. {_STAYS}",
    ),
    "head_lost": (_HEAD_LOST, _HEAD_LOST),
}
"""For one, and for several."""


def warning(code: str, count: int) -> str:
    """Return what a warning says; the code and the number of one that is not here."""
    one, several = WARNINGS.get(code, ("{code}: {n}", "{code}: {n}"))
    return (one if count == 1 else several).format(code=code, n=f"{count:,}")


GUARDS: Final[Mapping[str, str]] = {
    "rejected": "Rejected rows",
    "same_name": "An export of the same name",
    "everyone": "Not everybody at once",
    "emptied": "Columns that have gone blank",
    "field": "Changes in one column",
    "cells": "People with a change",
    "match_rate": "People with an account",
    "different_export": "The same files as before",
    "rekeyed": "Accounts under another key",
    "deletions": "Removals",
    "mapping": "Items that another mapping makes",
}

PASSED: Final = "passed"
STOPPED: Final = "refuses the export"
RELEASED: Final = "approved"
VERDICTS: Final[Mapping[str, str]] = {"deletions": "holds the removals"}
"""What a guard does when it trips, where that is not to refuse the export as a whole."""

GUARD_SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "rejected": ("MAX_REJECT_PERCENT",),
    "field": ("MAX_CHANGE_PERCENT",),
    "cells": ("MAX_CHANGE_PERCENT",),
    "match_rate": ("MIN_MATCH_PERCENT",),
    "mapping": ("MAX_CHANGE_PERCENT",),
    "deletions": ("MAX_DELETE_PERCENT", "MAX_DELETE_COUNT", "MIN_DELETE_ALLOWANCE"),
}
"""The settings that move a guard's limit."""

DELIMITERS: Final[Mapping[str, str]] = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}

TRIGGERS: Final[Mapping[str, str]] = {"timer": "the timer", "cli": "the command line", "http": "a request"}

KINDS: Final[Mapping[str, str]] = {
    "complete": "complete: whoever is missing from it counts as absent",
    "partial": "partial: it speaks of the people in it, and of nobody else",
}

REASONS: Final[Mapping[str, str]] = {
    "new export": "a new export",
    "approval": "somebody approved what waited",
    "held deletions to plan anew": "removals that wait, and an export that changed some of them",
    "unfinished run": "an unfinished run",
    "request": "somebody asked for it",
    "settings or mapping changed": "changed settings or mapping",
    "connection changed": "a changed connection",
    "failed items": "people who could not be sent before",
    "unmatched people": "people who had no account before",
    "known accounts": "accounts that are looked up again",
    "failed run": "a run that failed before",
    "a date that turns": "a day on which rows begin or cease to count",
}
"""Why there was work to do."""
