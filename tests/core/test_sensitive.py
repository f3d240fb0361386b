"""Which columns of an HR export look like something that the whole organisation should not see."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.sensitive import Use, sensitive, sensitive_problems, sensitive_use, words

PRIVATE = "a private address, phone number or mail address"
BIRTH = "a birth date, a birth place or an age"
IDENTITY = "a national, tax or passport number"
FAMILY = "marital status or family"
EMERGENCY = "an emergency contact"
ORIGIN = "ethnicity, nationality or another protected status"

LOOKS = {
    "pay": """
        Salary, Base Salary, BASESALARY, annual_salary, Pay Rate, PayGrade, Hourly Rate, Compensation,
        Compa-Ratio, Tarifgruppe, Bonus %, Stock Options, 401k Contribution, Gehalt, Jahresgehalt, Gehaltsgruppe,
        Stundenlohn, Lohngruppe, Vergütung, Verguetung, Bruttogehalt, Salaire de base, Rémunération,
        Taux horaire, Salario,
        Sueldo Base, Remuneración, Retribuzione, Stipendio, Salaris, Uurloon, Lønn, Årslønn, Månadslön, Salário,
        Remuneração""",
    "a bank account": """
        Bank, Bank Name, BankAccount, BANKACCOUNTNUMBER, IBAN, IBANNumber, Account Number, Routing Number,
        Sort Code, Direct Deposit, Bankverbindung, Kontonummer, Banque, RIB, Compte bancaire, Banco,
        Cuenta bancaria, Numero de cuenta, Bankrekening, Rekeningnummer, Bankkonto, Conto corrente,
        Conta bancária""",
    IDENTITY: """
        SSN, EmployeeSSN, Social Security Number, SOCIALSECURITYNUMBER, National ID, National Insurance No,
        NI Number, NINO, Tax ID, Tax Code, Passport No., PassportExpiry, Work Permit, Visa Type,
        Driver's License, Driving Licence, Steuer-ID, Steuerklasse, Sozialversicherungsnummer, SV-Nummer,
        Reisepass, Numéro de sécurité sociale, Passeport, Carte d'identité, DNI, NIE,
        Número de la Seguridad Social, Pasaporte, BSN, Burgerservicenummer, Paspoort, Fødselsnummer, Foedselsnummer,
        Personnummer, CPR-nummer, Codice Fiscale, Carta d'identità, CPF, Passaporte""",
    BIRTH: """
        Birthday, Birth Date, BirthDate, DATEOFBIRTH, dateOfBirth, date_of_birth, DOB, Place of Birth,
        Country of Birth, Age, Geburtsdatum, Geburtsort, Geb.-Datum Geburt, Alter, Date de naissance,
        Lieu de naissance, Fecha de nacimiento, Edad, Geboortedatum, Leeftijd, Fødselsdato, Födelsedatum,
        Fødselsdag, Data di nascita, Data de nascimento""",
    "health or disability": """
        Health, Health Insurance, HealthPlan, Disability Status, Disabled, Handicap, Medical Notes, Sick Days,
        Leave Reason, Blood Type, Allergies, Maternity Leave, Schwerbehinderung, Grad der Behinderung,
        Krankenkasse, Krankenversicherung, Handicapé, Arrêt maladie, Mutuelle, Discapacidad, Baja médica,
        Gezondheid, Ziekte, Helse, Sykefravær, Hälsa, Disabilità, Malattia, Deficiência""",
    "religion or belief": """
        Religion, Religious Affiliation, Faith, Church Tax, Kirchensteuermerkmal, Konfession, Religionszugehörigkeit,
        Confession, Religión, Geloof, Trossamfunn, Religione, Religião""",
    PRIVATE: """
        Home Address, HomeStreet, HOMEPHONE, Home_City, Home E-mail, Personal Email, Personal Mobile Phone,
        Private Phone, E-Mail (privat), Privatadresse, Privattelefon, Wohnort, Adresse personnelle,
        Téléphone personnel, Domicile, Domicilio, Teléfono particular, Correo personal, Woonadres, Thuisadres,
        Privé e-mail, Privat e-post, Hjemmeadresse, Bostadsadress, Hemtelefon, Indirizzo privato, Residenza,
        Endereço residencial, E-mail pessoal, Permanent Address,
        Current Address, Country of Residence""",
    ORIGIN: """
        Race, Ethnicity, Ethnic Origin, Hispanic/Latino, Veteran Status, Nationality, Citizenship,
        Staatsangehörigkeit, Nationalité, Nacionalidad, Nationaliteit, Statsborgerskap, Medborgarskap,
        Cittadinanza, Nacionalidade, Raça""",
    "union membership": """
        Union Membership, Trade Union, Gewerkschaft, Syndicat, Sindicato, Vakbond, Fagforening, Fackförening""",
    "a political opinion": "Political Party, Parteizugehörigkeit, Partido político",
    "sexual orientation": "Sexual Orientation, LGBTQ",
    "gender": "Gender, Sex, Legal Sex, Geschlecht, Sexe, Sexo, Género, Geslacht, Kjønn, Kön, Køn, Sesso, Gênero",
    FAMILY: """
        Marital Status, MARITALSTATUS, Civil Status, Spouse Name, Number of Children, Dependents, Familienstand,
        Anzahl Kinder, Situation familiale, Estado civil, Burgerlijke staat, Sivilstatus, Civilstånd, Stato civile,
        Wedding Anniversary""",
    EMERGENCY: """
        Emergency Contact, EmergencyContactName, Emergency Phone, Emergency Contact Home Phone, Next of Kin,
        Notfallkontakt, Contact d'urgence, Contacto de emergencia, Noodcontact, Nødkontakt, Pårørende,
        Närmast anhörig, Contatto di emergenza, Contato de emergência""",
    "performance or discipline": """
        Performance Rating, Last Rating, PerformanceReview, Disciplinary Action, Termination Reason, Flight Risk,
        Criminal Record, Leistungsbeurteilung, Abmahnung, Motif de départ""",
    "a password": "Password, Passwort, Initial_Password, PIN, Contraseña",
}

HARMLESS = """
    Terrace, Trace, Bankside Office, Bank Holiday Calendar, Payroll Name, Payroll Number, Health & Safety Dept,
    Healthcare Division, Compensation Department, Work Anniversary, Anniversary Date, Home Department,
    Home Cost Number, Home Office Days, Company Address, Street Address, Work Email, E-Mail, Email Address,
    Work Phone, Mobile Phone, Pronouns, GenderPronoun, Gender Pronouns, Language, Page, Stage, Manager, Agency,
    Percentage, Job Family, Job Family Group, Parent Company, Contact, Alternate Email, Personalnummer,
    Personal-Nr., Personnel Number, Personnel Area, Personal Title, Disziplinarvorgesetzter,
    Disciplinary Manager, Engineering Discipline, Steuerungskreis, Belohnung, Köln, Kostenstelle, Sussex Site,
    Favorite Color, FavoriteColor, Position Title, Union Square Team, Fiscal Year, Hire Date, Employment Status,
    Status, Cost Center, Location, Skills, Certifications, Education, Country, City, State, PostalCode,
    Notice Period, Office, Nom, Prénom, Poste, Service, Date d'entrée, Abteilung, Eintrittsdatum, Vorgesetzter,
    Apellidos, Puesto, Departamento, Afdeling, Functie, Stilling, Avdeling, Befattning, Qualifica, Reparto,
    Cargo, Supervisor, WorkerID, Custom01, Site"""


def _names(listed: str) -> list[str]:
    return [name for part in listed.split(",") if (name := " ".join(part.split()))]


@pytest.mark.parametrize(("category", "name"), [(looks, name) for looks in LOOKS for name in _names(LOOKS[looks])])
def test_a_column_looks_like_what_its_words_say(category: str, name: str) -> None:
    """In nine languages, in CamelCase, capitals, with spaces, underlines or run together."""
    assert sensitive(name) == category


@pytest.mark.parametrize("name", _names(HARMLESS))
def test_a_name_that_only_holds_the_letters_is_harmless(name: str) -> None:
    """Words are judged, not letters: a terrace is no race, a home department no home."""
    assert sensitive(name) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("EmployeeSSN", ("employee", "ssn")),
        ("IBANNumber", ("iban", "number")),
        ("date_of-birth", ("date", "of", "birth")),
        ("Work E-Mail", ("work", "email")),
        ("Årslønn", ("arslonn",)),
        ("Custom01", ("custom", "01")),
        ("Straße", ("strasse",)),
        ("", ()),
    ],
)
def test_a_name_has_words(name: str, expected: tuple[str, ...]) -> None:
    """A hump, a sign or a digit begins a new word; accents and case are gone."""
    assert words(name) == expected


@given(st.text(max_size=60))
def test_any_name_can_be_judged(name: str) -> None:
    """Whatever a header holds, it has an answer, and the same one without regard to spaces around it."""
    assert sensitive(name) == sensitive(f"  {name}  ")


# --- by where it goes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "path", "kind", "expected"),
    [
        ("personEmails", "address", "personal", PRIVATE),
        ("personEmails", "address", "work", None),
        ("personPhones", "number", "home", PRIVATE),
        ("personPhones", "number", "homeFax", PRIVATE),
        ("personPhones", "number", "mobile", None),
        ("personAddresses", "detail.street", "home", PRIVATE),
        ("personAddresses", "detail.street", "business", None),
        ("personCurrentPosition", "detail.company.address.street", "home", PRIVATE),
        ("personCurrentPosition", "detail.jobTitle", "home", None),
        ("personAnniversaries", "date", "birthday", BIRTH),
        ("personAnniversaries", "date", "wedding", FAMILY),
        ("personAnniversaries", "date", "work", None),
        ("personCurrentPosition", "colleagues", "spouse", FAMILY),
        ("personCurrentPosition", "colleagues", "child", FAMILY),
        ("personCurrentPosition", "colleagues", "parent", FAMILY),
        ("personCurrentPosition", "colleagues", "sibling", FAMILY),
        ("personProjects", "colleagues", "emergencyContact", EMERGENCY),
        ("personCurrentPosition", "manager", "manager", None),
        (None, "", "home", None),
    ],
)
def test_a_field_is_sensitive_by_where_it_goes(label: str | None, path: str, kind: str, expected: str | None) -> None:
    """A home address is private even from a column called Address."""
    assert sensitive_use(label, path, (kind,)) == expected


# --- what a mapping is told -------------------------------------------------------------------------------------------


def test_a_mapped_column_that_looks_sensitive_is_refused_with_the_line_that_allows_it() -> None:
    """The sentence says what it looks like and who would see it, and ends in a line of TOML with all of them."""
    salary = Use("pay", None, "", ("Base Salary",))
    email = Use("emails", "personEmails", "address", ('Second "mail"',), ("personal",))
    title = Use("positions", "personCurrentPosition", "detail.jobTitle", ("Job Title",))

    found = list(sensitive_problems([salary, email, title], []))

    assert [use for use, _ in found] == [salary, email]
    assert "the column Base Salary looks like pay" in found[0][1]
    assert "visible to the whole organisation" in found[0][1]
    assert f"the column {email.columns[0]} looks like {PRIVATE}" in found[1][1]
    for _, text in found:
        line = text[text.index("allow_sensitive") :]
        assert tomllib.loads(line) == {"allow_sensitive": ["Base Salary", 'Second "mail"']}


def test_an_allowed_column_is_not_refused_however_it_is_spelled() -> None:
    """Columns are compared as headers are; the line for the others keeps those that are allowed."""
    uses = [Use("p", None, "", ("Base Salary", "Bonus"))]

    found = list(sensitive_problems(uses, ["base_salary"]))

    assert [text[text.index("allow_sensitive") :] for _, text in found] == [
        'allow_sensitive = ["base_salary", "Bonus"]'
    ]


def test_allowing_a_column_that_is_not_mapped_is_a_mistake() -> None:
    """It is a slip of the pen, or a leftover; the nearest mapped column is named."""
    uses = [Use("p", None, "", ("Home Street",))]

    found = list(sensitive_problems(uses, ["Home Street", "Home Sreet", "Xyz"]))

    assert found == [
        (None, "no property is filled from a column Home Sreet; did you mean Home Street?"),
        (None, "no property is filled from a column Xyz"),
    ]
