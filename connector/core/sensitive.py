"""Which columns look like something that the whole organisation should not see.

Everything that is ingested is visible to everyone in the organisation, so a mapping that sends such a column is refused
unless it says that this is meant (``allow_sensitive``). A column is judged by the words of its name, in the languages
that HR systems of Europe and America write, and by where in the profile it goes. No cell is read.

What counts: pay, bank accounts, what proves an identity, birth and age, private addresses, family and emergency
contacts, performance and discipline, passwords, and the special categories of personal data:
https://eur-lex.europa.eu/eli/reg/2016/679/oj#art_9

A needless alarm costs the operator one line in the mapping, a missed one cannot be taken back. So doubtful words count
(``Gender``, ``Pay Group``), and only names that say something else by their other words do not (``Payroll Name`` is a
name, ``Health & Safety`` a profession, ``Gender Pronouns`` what people tell their colleagues themselves).
"""

from __future__ import annotations

import difflib
import functools
import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

from connector.core.export import column_key
from connector.core.toml import strings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

Category = Literal[
    "pay",
    "a bank account",
    "a national, tax or passport number",
    "a birth date, a birth place or an age",
    "health or disability",
    "religion or belief",
    "a private address, phone number or mail address",
    "ethnicity, nationality or another protected status",
    "union membership",
    "a political opinion",
    "sexual orientation",
    "gender",
    "marital status or family",
    "an emergency contact",
    "performance or discipline",
    "a password",
]
"""What a column looks like, as it is told."""


# --- what a field sends, as far as this is concerned ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """One field of the profile that is filled from columns.

    ``path``: the entity's field, "" for a custom property. ``kinds``: the words that stand beside it in the same
    entity: what a constant or a translation gives its type, or the relationship of a reference.
    """

    property: str
    label: str | None
    path: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...] = ()


def sensitive_problems(uses: Iterable[Use], allowed: Collection[str]) -> Iterator[tuple[Use | None, str]]:
    """Say which columns look sensitive and are not allowed, and which are allowed and not mapped.

    ``allowed`` are the mapping's ``allow_sensitive``. Each sentence comes with the use it is about; None: about
    ``allow_sensitive`` itself.
    """
    uses = tuple(uses)
    mapped = {column_key(column): column for use in uses for column in use.columns}
    keys = set(map(column_key, allowed))
    alarms = [
        (use, column, category)
        for use in uses
        for column in use.columns
        if (category := sensitive(column) or sensitive_use(use.label, use.path, use.kinds))
        and column_key(column) not in keys
    ]
    known = (column for column in allowed if column_key(column) in mapped)
    names = dict.fromkeys((*known, *(column for _, column, _ in alarms)))
    line = f"allow_sensitive = {strings(names)}"
    for use, column, category in alarms:
        text = (
            f"the column {column} looks like {category}, and everything that is ingested is visible to the whole"
            f" organisation; take it out, or, if that is meant, write at the top: {line}"
        )
        yield use, text
    for column in allowed:
        if column_key(column) not in mapped:
            close = difflib.get_close_matches(column_key(column), mapped, n=1)
            hint = f"; did you mean {mapped[close[0]]}?" if close else ""
            yield None, f"no property is filled from a column {column}{hint}"


_PRIVATE: Final[Category] = "a private address, phone number or mail address"
_BIRTH: Final[Category] = "a birth date, a birth place or an age"
_FAMILY: Final[Category] = "marital status or family"
_EMERGENCY: Final[Category] = "an emergency contact"

_KINDS: Final[dict[str, dict[str, Category]]] = {
    "personEmails": {"personal": _PRIVATE},
    "personPhones": {"home": _PRIVATE, "homeFax": _PRIVATE},
    "personAddresses": {"home": _PRIVATE},
    "personAnniversaries": {"birthday": _BIRTH, "wedding": _FAMILY},
    "personCurrentPosition": {"home": _PRIVATE},
    "personWorkPositions": {"home": _PRIVATE},
}
"""The types that Graph has for private things: https://learn.microsoft.com/graph/api/resources/profile."""

_RELATIONSHIPS: Final[dict[str, Category]] = {
    "spouse": _FAMILY,
    "child": _FAMILY,
    "parent": _FAMILY,
    "sibling": _FAMILY,
    "emergencyContact": _EMERGENCY,
}
"""https://learn.microsoft.com/graph/api/resources/relatedperson"""


def sensitive_use(label: str | None, path: str, kinds: Iterable[str]) -> Category | None:
    """Return what a field is by where it goes, whatever its column is called: a home address, a birthday, a spouse.

    ``kinds`` as a `Use` has them. The country of somebody's position is nobody's home, so of positions the address
    alone is looked at.
    """
    if label is None:
        return None
    if label in {"personCurrentPosition", "personWorkPositions"} and "address" not in path:
        return next((_RELATIONSHIPS[kind] for kind in kinds if kind in _RELATIONSHIPS), None)
    known = _KINDS.get(label, {}) | _RELATIONSHIPS
    return next((known[kind] for kind in kinds if kind in known), None)


# --- the words --------------------------------------------------------------------------------------------------------

_LETTERS: Final = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "þ": "th", "ð": "d"})
_WORD: Final = re.compile(r"[^\W\d_]+|\d+")
_HUMP: Final = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?<=[A-ZÀ-ÖØ-Þ])(?=[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ])")


def words(name: str) -> tuple[str, ...]:
    """Return the words of a column's name: lower case, without accents; a hump of CamelCase begins a new one.

    ``e-mail`` and ``e-post`` are one word each.
    """
    parts = [part for word in _WORD.findall(unicodedata.normalize("NFC", name)) for part in _HUMP.split(word)]
    plain = [_plain(part) for part in parts if part]
    joined: list[str] = []
    for part in plain:
        if joined and joined[-1] == "e" and part.startswith(("mail", "post")):
            joined[-1] = f"e{part}"
        else:
            joined.append(part)
    return tuple(joined)


def _plain(word: str) -> str:
    folded = word.casefold().translate(_LETTERS)
    return "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))


def _listed(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_WORDS: Final[dict[Category, str]] = {
    "a password": """
        password passwd pwd passwort kennwort passcode contrasena wachtwoord passord losenord adgangskode pin""",
    "religion or belief": """
        religion religious faith belief beliefs church denomination konfession kirchensteuer religione religiao
        religioso confession confesion credo glaube godsdienst geloof religie trossamfund trossamfunn""",
    "an emergency contact": "parorende anhorig anhoriga notfall urgence",
    "a bank account": """
        bank bic iban swift sepa bacs bsb bankverbindung kontonummer kontonr kontoinhaber rib banque banco banca
        kontonummer bankkonto bankrekening bankgiro clearingnummer rekeningnummer clabe""",
    "a national, tax or passport number": """
        ssn nino bsn nir nif nie dni cpf cpr curp rfc pesel aadhaar aadhar ahv nric tfn tin passport passeport
        pasaporte passaporte passaporto paspoort reisepass passnummer passnr steuer tax taxes fiscal fiscale
        fiscaal fiskal visa visum citizenid personnummer personnr samordningsnummer fodselsnummer fodselsnr
        rijksregisternummer driverslicense burgerservicenummer sofinummer svnr svnummer sozialversicherung
        personalausweis aufenthaltstitel arbeitserlaubnis fuhrerschein immigration secu""",
    "pay": """
        pay salary salaries wage wages compensation remuneration earnings bonus bonuses commission commissions
        income payrate paygrade payscale allowance allowances gross merit severance garnishment deduction
        deductions pension pensions compa gehalt lohn loon verdienst vergutung entgelt besoldung entgeltgruppe
        tarifgruppe eingruppierung
        salaire salaires remuneration salario salarios sueldo remuneracion retribucion stipendio retribuzione
        salaris bezoldiging lonn loenn remuneracao ordenado vencimento vencimentos honorarium""",
    "a birth date, a birth place or an age": """
        birth birthday birthdate birthplace born dob age geburt geburtstag geburtsdatum geburtsort alter gebdat
        naissance naissances nacimiento nascita nascimento geboorte geboortedatum fodselsdato fodselsdag
        fodelsedatum fodelsedag fodt fodd cumpleanos compleanno aniversario anniversaire verjaardag bursdag edad
        idade leeftijd alder""",
    "health or disability": """
        health disability disabilities disabled handicap handicapped medical medication illness sick sickness
        allergy allergies allergien dietary covid vaccination vaccinated vaccine maternity pregnancy pregnant
        schwerbehindert
        behinderung schwerbehinderung gdb krankheit krankenkasse krankenversicherung krankenstand mutterschutz
        schwanger sante maladie mutuelle handicape salud discapacidad enfermedad salute disabilita invalidita
        malattia gezondheid ziekte arbeidshandicap helse sykdom halsa sjukdom sygdom sundhed saude deficiencia
        doenca gravidez embarazo funksjonshemming funktionsnedsattning funktionshinder""",
    "union membership": """
        union unions betriebsrat gewerkschaft syndicat syndicale sindicato sindacato sindical vakbond
        fagforening fagforbund fackforening fackforbund fackligt""",
    "a political opinion": "political politics parteizugehorigkeit politisk",
    "sexual orientation": "sexual sexuality lgbt lgbtq lgbtqia transgender sexuell sexuelle sessuale seksuele seksuell",
    "ethnicity, nationality or another protected status": """
        race racial ethnic ethnicity hispanic latino caste indigenous aboriginal veteran eeo nationality nationalities
        citizenship citizenships citizen ethnie etnia raza raca razza etniciteit etnisitet etnicitet herkunft afkomst
        nationalitat staatsangehorigkeit staatsburgerschaft nationalite nacionalidad ciudadania nationaliteit
        nasjonalitet nationalitet statsborgerskap medborgarskap cittadinanza nazionalita nacionalidade cidadania""",
    "gender": "gender sex geschlecht genre sexe sexo sesso genero genere geslacht kjonn kon",
    "marital status or family": """
        marital marriage married spouse husband wife children kids dependent dependents dependant dependants
        parental wedding familienstand zivilstand kinder kinderzahl elternzeit conjoint enfants conyuge hijos
        coniuge figli filhos conjuge kinderen burgerlijke sivilstand sivilstatus civilstand civilstatus
        ektefelle barn maiden""",
    "performance or discipline": """
        performance rating ratings appraisal disciplinary misconduct criminal leistungsbeurteilung beurteilung
        abmahnung disziplinarmassnahme fuhrungszeugnis leistungsbewertung beoordeling evaluacion desempeno
        desempenho valutazione medarbejdersamtale dbs""",
}
"""Words that say it by themselves, wherever they stand in a name."""

_PHRASES: Final[dict[Category, str]] = {
    "an emergency contact": """
        next of kin, ice contact, contacto de emergencia, contatto di emergenza, contatto emergenza,
        contato de emergencia, narmast anhorig, emergency contact, emergency phone, emergency number,
        emergency name, emergency email, emergency address, emergency relationship, telefono de emergencia""",
    "a bank account": """
        account number, account holder, account no, routing number, sort code, direct deposit, numero de cuenta,
        cuenta bancaria, conta bancaria, conto corrente, coordonnees bancaires, compte bancaire, credit card,
        konto nr, konto nummer""",
    "a national, tax or passport number": """
        social security, social insurance, national id, national identifier, national number,
        national insurance, national identity, government id, identity card, citizen id, ni number, soc sec,
        insurance number, driver license, drivers license, driver s license, driving license, driving licence,
        drivers licence, work permit, residence permit, right to work, securite sociale, seguridad social,
        seguranca social, codice fiscale, numero fiscal, carte d identite, carta d identita,
        documento de identidad, documento nacional, person nr, sv nummer, sv nr, permis de travail,
        permis de sejour, titre de sejour, permesso di soggiorno""",
    "pay": """
        hourly rate, daily rate, base rate, annual rate, day rate, bill rate, stock options, stock grant, stock units,
        equity grant, cost to company, 401 k, retirement plan, net amount, compa ratio, taux horaire""",
    "a birth date, a birth place or an age": "",
    "health or disability": """
        special needs, blood group, blood type, arret maladie, baja medica, grad der behinderung, ausencia medica,
        leave reason, leave type, absence reason, absence type, healthcare plan""",
    "religion or belief": "",
    "union membership": "works council, comite d entreprise",
    "a political opinion": "parti politique, partito politico, partido politico",
    "sexual orientation": "sex orientation",
    "ethnicity, nationality or another protected status": "protected class, origine ethnique",
    "gender": "",
    "marital status or family": """
        civil status, family status, family members, number of children, situation familiale, situation de famille,
        etat civil, estado civil, stato civile, personnes a charge, numero de hijos, life partner, domestic partner""",
    "performance or discipline": """
        high potential, potential rating, nine box, 9 box, flight risk, termination reason, reason for leaving,
        leaving reason, reason for termination, background check, termination type, criminal record,
        risk of loss, loss impact, kundigungsgrund, austrittsgrund, motif de depart, motivo de baja""",
    "a password": "",
}
"""Words that say it together, in this order."""

_STEMS: Final[dict[Category, str]] = {
    "an emergency contact": "notfallkontakt notfalltelefon noodcontact nodkontakt nodsituation emergencycontact",
    "a bank account": """
        bankverbindung kontonummer kontoinhaber bankkonto bankaccount iban rekeningnummer bankname bankleitzahl""",
    "a national, tax or passport number": """
        sozialversicherung rentenversicherung steuerid steuernummer steuernr steuerklasse lohnsteuer
        kirchensteuer passport reisepass personnummer fodselsnummer socialsecurity nationalid nationalinsurance
        personalausweis visumtype burgerservice ssn""",
    "pay": """
        salary salaire salario salaris gehalt lohn vergutung entgelt lonn manadslon manedslon timlon timelon arslon
        uurloon maandloon jaarloon brutoloon loonschaal brutto""",
    "a birth date, a birth place or an age": "birth geburt geboorte fodsel fodelse naissance nacimiento nascimento",
    "health or disability": """
        disabilit behinder kranken schwanger arbeitsunfahig handicap sykefrava sjukfranvaro abwesenheitsgrund
        abwesenheitsart""",
    "religion or belief": "religion kirchen konfession",
    "union membership": "gewerkschaft fagforening fackforening vakbond",
    "a political opinion": "parteizugehorig",
    "sexual orientation": "lgbt",
    "ethnicity, nationality or another protected status": """
        ethnic nationalit staatsangehorig staatsburger citizenship etnisk""",
    "gender": "geschlecht",
    "marital status or family": """
        familienstand maritalstatus kindergeld kinderfreibetr kinderanzahl civilstand sivilstand dependants""",
    "performance or discipline": "leistungsbeurteilung performancerating abmahnung",
    "a password": "passwor kennwort",
}
"""Beginnings and ends of words that languages (or capitals) run together: ``Jahresgehalt``, ``BASESALARY``."""

_HOMES: Final = _listed("""
    home private personal privat privates private privater privee prive privada privado privato privata perso
    personnelle particular residential residencial pessoal hjem hjemme hem bostad casa thuis
    permanent
    """)
"""Words that make an address, a phone number or a mail address a private one."""

_CONTACTS: Final = _listed("""
    address addresses addr street city town zip zipcode postcode postal state province county country phone
    telephone tel mobile cell cellphone fax mail email emailaddress adresse adressen anschrift strasse str plz
    ort stadt telefon handy mobil mobilnummer telefonnummer mailadresse emailadresse rue ville courriel portable
    telephonique telephones direccion calle ciudad correo telefono movil celular endereco rua cidade telefone
    telemovel indirizzo via citta cellulare cap adres straat plaats woonplaats telefoon telefoonnummer mobiel
    epost adress gata postnummer postadresse telefonnr mobiltelefon""")

_PRIVATE_WORDS: Final = _listed("""
    residence residenza residencia wohnort wohnsitz wohnadresse wohnanschrift wohnung domicile domicilio woonadres
    woonplaats thuisadres bostedsadresse bopael bostadsadress hemadress heimadresse heimatadresse hjemmeadresse
    folkeregisteradresse""")

_PRIVATE_STARTS: Final = ("home", "privat", "prive", "personal", "hjemme", "hem", "thuis", "wohn")
_PRIVATE_PHRASES: Final = frozenset(
    (
        "telephone personnel", "tel personnel", "mail personnel", "email personnel", "courriel personnel",
        "portable personnel", "mobile personnel", "current address", "present address", "mailing address",
    )
)  # fmt: skip

_HARMLESS: Final = tuple(
    tuple(phrase.split())
    for phrase in (
        "health and safety", "health safety", "sante securite", "health e safety", "salud y seguridad", "pay roll",
        "gender pronoun", "gender pronouns", "lonnummer", "bank holiday", "bank holidays", "european union",
        "disciplinary manager", "disciplinary supervisor",
        "fiscal year", "fiscal period", "fiscal company", "fiscal calendar", "tax year", "casa matriz",
        "aniversario laboral", "aniversario de empresa", "anniversaire de travail",
    )
)  # fmt: skip
"""What names something else although a word in it is on the lists."""

_ORGANISATION: Final = _listed("department departments dept division team teams abteilung bereich afdeling")
"""A name that ends so is about a part of the organisation: ``Compensation Department``."""


@functools.lru_cache(maxsize=4096)  # every tick reads its mapping, and the words of its columns stay what they are
def sensitive(column: str) -> Category | None:
    """Return what a column looks like by its name, None if it looks harmless."""
    told = _without_harmless(words(column))
    if not told or told[-1] in _ORGANISATION:
        return None
    written_out = tuple(_UMLAUT.sub(r"\1", word) for word in told)
    return _looks(told) or (_looks(written_out) if written_out != told else None)


_UMLAUT: Final = re.compile("([aou])e")
"""How ``ä``, ``ö``, ``ø`` and ``ü`` are written where they cannot be: ``Verguetung``."""


def _looks(told: Sequence[str]) -> Category | None:
    if _says(told, _EMERGENCY):  # before the rest: an emergency contact has a home phone, too
        return _EMERGENCY
    if _is_private(told):
        return _PRIVATE
    return next((category for category in _WORDS if _says(told, category)), None)


_WORD_SETS: Final = {category: _listed(listed) for category, listed in _WORDS.items()}
_STEM_TUPLES: Final = {category: tuple(listed.split()) for category, listed in _STEMS.items()}
_PHRASE_TUPLES: Final = {
    category: tuple(phrase for part in listed.split(",") if (phrase := tuple(part.split())))
    for category, listed in _PHRASES.items()
}


def _says(told: Sequence[str], category: Category) -> bool:
    return (
        not _WORD_SETS[category].isdisjoint(told)
        or any(_occurs(phrase, told) for phrase in _PHRASE_TUPLES[category])
        or any(word.startswith(_STEM_TUPLES[category]) or word.endswith(_STEM_TUPLES[category]) for word in told)
    )


_RUN_TOGETHER: Final = 8
"""
    Letters from which a phrase is sought without its spaces,
    in a name that is written in capitals or small letters."""


def _occurs(phrase: Sequence[str], told: Sequence[str]) -> bool:
    count = len(phrase)
    if any(tuple(told[start : start + count]) == tuple(phrase) for start in range(len(told) - count + 1)):
        return True
    joined = "".join(phrase)
    return len(joined) >= _RUN_TOGETHER and any(joined in word for word in told)


def _is_private(told: Sequence[str]) -> bool:
    present = set(told)
    if present & _PRIVATE_WORDS or any(" ".join(pair) in _PRIVATE_PHRASES for pair in pairwise(told)):
        return True
    if present & _HOMES and present & _CONTACTS:
        return True
    return any(_is_private_compound(word) for word in told)


_SHORT: Final = 3
"""Letters of a word that says too little as the end of another."""


def _is_private_compound(word: str) -> bool:
    """Whether a word is one of the two run together: ``HOMEPHONE``, ``Privatadresse``."""
    for start in _PRIVATE_STARTS:
        rest = word.removeprefix(start)
        if rest != word and any(len(noun) > _SHORT and rest.startswith(noun) for noun in _CONTACTS):
            return True
    return False


def _without_harmless(told: tuple[str, ...]) -> tuple[str, ...]:
    for phrase in _HARMLESS:
        for start in range(len(told) - len(phrase) + 1):
            if told[start : start + len(phrase)] == phrase:
                return _without_harmless(told[:start] + told[start + len(phrase) :])
    return told
