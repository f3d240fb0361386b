"""What the words of a status column mean: in scope, on leave, or gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_IN_SCOPE: Final = """
    active, a, employed, current, working, enabled, hired, permanent, regular, temporary, full-time, full time,
    fulltime, part-time, part time, parttime, probation, contractor, intern, new hire, onboarding, aktiv,
    beschäftigt, angestellt, actif, active, en poste, activo, activa, alta, en activo, actief, in dienst, ansatt,
    anställd, ansat, attivo, attiva, in forza, ativo, ativa, em exercício"""

_ON_LEAVE: Final = """
    on leave, leave, l, loa, leave of absence, paid leave, unpaid leave, long-term leave, long term leave,
    parental leave, maternity leave, paternity leave, sick leave, medical leave, sabbatical, absent,
    on sabbatical, beurlaubt, elternzeit, mutterschutz, ruhend, en congé, congé, congé maternité, congé parental,
    excedencia, en excedencia, met verlof, verlof, permisjon, i permisjon, tjänstledig, föräldraledig, orlov,
    på orlov, aspettativa, in aspettativa, in congedo, congedo, afastado, licença, de licença, em licença"""

_GONE: Final = """
    inactive, i, terminated, term, retired, furloughed, deactivated, disabled, archived, deleted, deceased,
    dormant, separated, withdrawn, resigned, left, ended, laid off, reported no show, no show, former,
    former employee, suspended, dismissed, departed, quit, inaktiv, ausgeschieden, ausgetreten, gekündigt,
    verstorben, rente, pensioniert, inactif, sorti, parti, retraité, inactivo, inactiva, jubilado, cesado,
    inactief, uit dienst, gepensioneerd, sluttet, slutat, fratrådt, pensjonert, avslutad, inattivo, cessato,
    dimesso, in pensione, inativo, demitido, desligado, aposentado"""

_YES: Final = frozenset(("yes", "y", "true", "1", "ja", "oui", "sí", "si", "sì", "sim", "x", "wahr", "vrai"))
_NO: Final = frozenset(("no", "n", "false", "0", "nein", "non", "nee", "nei", "nej", "não", "nao", "falsch", "faux"))


def _listed(listed: str) -> frozenset[str]:
    return frozenset(" ".join(word.split()) for word in listed.split(","))


_KINDS: Final = (("in_scope", _listed(_IN_SCOPE)), ("on_leave", _listed(_ON_LEAVE)), ("leaver", _listed(_GONE)))


@dataclass(frozen=True, slots=True)
class States:
    """The words of a column, as written, by what they mean; ``unknown`` with how many rows have them."""

    in_scope: tuple[str, ...] = ()
    on_leave: tuple[str, ...] = ()
    leaver: tuple[str, ...] = ()
    unknown: tuple[tuple[str, int], ...] = ()

    @property
    def known(self) -> int:
        """How many words are known."""
        return len(self.in_scope) + len(self.on_leave) + len(self.leaver)


def states(words: Mapping[str, int], *, inverted: bool = False) -> States:
    """Sort the words of a status column. ``inverted``: the column says who is gone, so yes means leaver."""
    folded = {word.casefold() for word in words}
    found: dict[str, list[str]] = {"in_scope": [], "on_leave": [], "leaver": []}
    unknown: list[tuple[str, int]] = []
    flags: list[str] = []
    met: set[str] = set()
    for word, count in words.items():
        if word.casefold() in met:
            continue
        met.add(word.casefold())
        kind = _kind(word.casefold(), folded)
        if kind in {"yes", "no"}:
            flags.append(word)
            kind = "leaver" if (kind == "yes") is inverted else "in_scope"
        if kind:
            found[kind].append(word)
        else:
            unknown.append((word, count))
    if len(flags) == 1 and (other := _opposite(*flags)):
        found["leaver" if flags[0] in found["in_scope"] else "in_scope"].append(other)
    return States(tuple(found["in_scope"]), tuple(found["on_leave"]), tuple(found["leaver"]), tuple(unknown))


_OPPOSITE: Final = {"yes": "no", "y": "n", "true": "false", "1": "0", "ja": "nein", "oui": "non", "t": "f"}


def _opposite(word: str) -> str:
    """Return what other rows will have in a column that only says yes today, or only no; "" if that is not known."""
    both = _OPPOSITE | {other: one for one, other in _OPPOSITE.items()}
    other = both.get(word.casefold(), "")
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[:1].isupper() else other


def _kind(word: str, all_words: set[str]) -> str:
    """Return what a word means, "" when that is not known.

    ADP's ``T`` is terminated, SuccessFactors' ``t`` is the opposite of ``f``. Of ``Active - Payroll Eligible`` the
    first part counts.
    """
    if word in {"t", "f"}:
        flag = all_words <= {"t", "f"}
        return ("yes" if word == "t" else "no") if flag else ("leaver" if word == "t" else "")
    if word in _YES or word in _NO:
        return "yes" if word in _YES else "no"
    begin = word.partition(" - ")[0].strip()
    return next((kind for kind, listed in _KINDS if word in listed or begin in listed), "")


def yes_words(words: Mapping[str, int]) -> tuple[str, ...]:
    """Return the words that mean yes, or "on leave", in a column that says who is on leave."""
    folded = {word.casefold() for word in words}
    return tuple(word for word in words if _kind(word.casefold(), folded) in {"yes", "on_leave"})
