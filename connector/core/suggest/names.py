"""What the columns of HR exports are called, and what they mean."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from connector.core.sensitive import words

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPELLINGS: Final[dict[str, str]] = {
    "key": """
        Employee ID, EmployeeId, Emp ID, Worker ID, Employee Number, Employee No, Employee Nr, Employee #, Emp No,
        Emp #, Person Number, Person ID, Person ID External, Person External ID, Personnel Number, Personnel No,
        Staff ID, Staff Number, Staff No, Associate ID, Payroll Number, File Number, File #, HR ID, HRIS ID,
        Employee Code, Employee Reference, Workday ID, BambooHR ID, EEID, Personalnummer, Personal-Nr, Personalnr,
        PersNr, Pers.-Nr., Mitarbeiternummer, Mitarbeiter-ID, Mitarbeiter-Nr, Personalnummer extern, Matricule,
        Numéro employé, Numéro de salarié, Numéro d'employé, ID employé, Número de empleado, Nº empleado,
        ID empleado, Legajo, Código empleado, Personeelsnummer, Medewerkernummer, Medewerker ID, Werknemersnummer,
        Ansattnummer, Ansattnr, Ansatt-ID, Anställningsnummer, Anställningsnr, Medarbejdernummer, Medarbejdernr,
        Lønnummer, Matricola, Numero dipendente, Codice dipendente, Número do funcionário, Número de colaborador,
        Número mecanográfico, Matrícula, sourcedId, Employee GUID, ID""",
    "user": """
        User ID, User Name, Username, Login, Login Name, Logon Name, Account, Account Name, sAMAccountName,
        Network ID""",
    "upn": """
        User Principal Name, UPN, Entra UPN, Azure AD UPN, Microsoft 365 Account, Office 365 Account, M365 UPN,
        Work Account, Benutzerprinzipalname, Entra Account""",
    "oid": """
        Object ID, Azure AD Object ID, Entra Object ID, AAD Object ID, External Directory Object ID, Entra ID,
        Azure AD ID""",
    "status": """
        Status, Employee Status, Worker Status, Employment Status, Active Status, Assignment Status,
        Position Status, Person Status, User Status, HR Status, Account Status, Job Status, Active, Is Active,
        Currently Active, Aktiv, Statut, Estado, Estado del empleado, Situación, Stato, Stato dipendente,
        Situação, Mitarbeiterstatus, Beschäftigungsstatus, Statut employé, Dienstverband status,
        Status medewerker, Ansattstatus, Anställningsstatus, Ansættelsesstatus, Actif, Activo, Attivo, Ativo,
        Actief""",
    "gone": "Terminated, Is Terminated, Inactive, Is Inactive, Left, Has Left, Former Employee, Ausgeschieden",
    "leave": """
        On Leave, OnLeave, Is On Leave, Leave of Absence, LOA, Leave Status, Beurlaubt, Abwesend, En congé,
        Met verlof, Permisjon, Tjänstledig, Orlov, In aspettativa""",
    "displayName": """
        Display Name, Full Name, Fullname, Name, Employee Name, Worker, Worker Name, Employee, Legal Name,
        Payroll Name, Preferred Display Name, Formatted Name, Person Name, Common Name, Associate, Associate Name,
        Vollständiger Name, Anzeigename, Mitarbeiter, Nom complet, Nombre completo, Nombre y apellidos,
        Volledige naam, Naam, Weergavenaam, Fullt navn, Navn, Namn, Fullständigt namn, Fulde navn, Nome completo,
        Nome e cognome, Nominativo""",
    "first": """
        First Name, Firstname, Given Name, Forename, Legal First Name, First, Vorname, Rufname, Prénom, Nombre,
        Nombres, Nombre de pila, Voornaam, Roepnaam, Fornavn, Förnamn, Nome, Primeiro nome""",
    "last": """
        Last Name, Lastname, Surname, Family Name, Legal Last Name, Preferred Last Name, Last, sn, Nachname,
        Familienname, Nom,
        Nom de famille, Apellido, Apellidos, Primer apellido, Achternaam, Etternavn, Efternamn, Efternavn,
        Cognome, Sobrenome, Apelido""",
    "middle": """
        Middle Name, Middle, MI, Middle Initial, Zweiter Vorname, Deuxième prénom, Mellomnavn, Mellannamn,
        Mellemnavn""",
    "nickname": """
        Preferred Name, Preferred First Name, Nickname, Known As, Goes By, Chosen Name, Bevorzugter Name,
        Rufname bevorzugt, Spitzname, Prénom usuel, Surnom, Apodo, Tilltalsnamn, Kaldenavn, Soprannome""",
    "suffix": "Suffix, Name Suffix, Namenszusatz",
    "title": "Name Prefix, Prefix, Academic Title, Akademischer Titel, Titre académique",
    "initials": "Initials, Initialen, Initialer, Iniciales",
    "jobTitle": """
        Job Title, Title, Position Title, Business Title, Position, Job, Job Name, Position Name, Working Title,
        Job Profile, Job Title Description, Position Description, Designation, Job Description, Berufsbezeichnung,
        Stellenbezeichnung, Stelle, Funktion, Jobtitel, Tätigkeit, Titel, Poste, Intitulé du poste, Fonction,
        Emploi, Puesto, Cargo, Puesto de trabajo, Título del puesto, Functie, Functietitel, Functienaam, Stilling,
        Stillingstittel, Tittel, Befattning, Jobbtitel, Yrkestitel, Stillingsbetegnelse, Qualifica, Mansione,
        Posizione, Ruolo, Função""",
    "department": """
        Department, Dept, Department Name, Home Department, Home Department Description, Department Description,
        Org Unit, Organizational Unit, Organisation Unit, Supervisory Organization, Team, Abteilung,
        Organisationseinheit, Bereich, Service, Département, Unité, Departamento, Área, Afdeling, Afdelingsnavn,
        Avdeling, Avdelning, Reparto, Dipartimento, Ufficio, Setor, Enhet""",
    "secondaryDepartment": "Secondary Department, Sub Department, Subdepartment, Section, Unterabteilung",
    "division": """
        Division, Business Unit, Business Unit Name, Division Name, Business Area, Sector, Geschäftsbereich,
        Sparte, Unité commerciale, División, Unidad de negocio, Divisie, Forretningsområde, Affärsområde,
        Divisione, Divisão""",
    "company": """
        Company, Company Name, Legal Entity, Legal Entity Name, Legal Employer, Employer, Organization, Organisation,
        Entity, Firma, Gesellschaft, Unternehmen, Arbeitgeber, Entreprise, Société, Entité légale, Empresa, Sociedad,
        Compañía, Bedrijf, Bedrijfsnaam, Werkgever, Selskap, Firmanavn, Företag, Bolag, Selskab, Virksomhed, Azienda,
        Società, Entidade""",
    "companyCode": "Company Code, Co Code, Buchungskreis, Entity Code, Kod bolag",
    "costCenter": """
        Cost Center, Cost Centre, Cost Center Code, Cost Centre Code, Cost Center 1, Cost Center Name,
        Kostenstelle, Centre de coût, Centre de coûts, Centro de coste, Centro de costos, Centro de costo,
        Kostenplaats, Kostnadssted, Koststed, Kostnadsställe, Omkostningssted, Centro di costo, Centro de custo,
        Home Cost Number""",
    "office": """
        Office Location, Location, Office, Work Location, Location Name, Location Description, Site, Site Name,
        Work Site, Physical Delivery Office Name, Building, Branch, Standort, Büro, Arbeitsort, Niederlassung,
        Bureau, Site de travail, Lieu de travail, Ubicación, Oficina, Centro de trabajo, Lugar de trabajo,
        Locatie, Kantoor, Werklocatie, Vestiging, Kontor, Arbeidssted, Kontorsted, Arbetsplats, Arbejdssted, Sede,
        Sede di lavoro, Local de trabalho, Localização""",
    "startDate": """
        Hire Date, Start Date, Date of Hire, Original Hire Date, Most Recent Hire Date, Hired, Date Hired,
        Joining Date, Date of Joining, Join Date, Employment Start Date, Date Started, Service Date,
        Continuous Service Date, Position Start Date, Eintrittsdatum, Einstellungsdatum, Eintritt, Startdatum,
        Date d'entrée, Date d'embauche, Fecha de ingreso, Fecha de contratación, Fecha de alta, Fecha de inicio,
        Datum in dienst, In dienst, Datum indienst, Ansettelsesdato, Ansatt dato, Startdato, Anställningsdatum,
        Ansættelsesdato, Data di assunzione, Data assunzione, Data de admissão, Data de contratação,
        Date d'ancienneté""",
    "employeeType": """
        Employee Type, Worker Type, Employment Type, Worker Category, Person Type, Contract Type, Employee Class,
        Worker Sub-Type, Time Type, Beschäftigungsart, Vertragsart, Mitarbeitertyp, Type de contrat,
        Tipo de contrato, Tipo de empleado, Contracttype, Type medewerker, Ansettelsestype, Anställningsform,
        Anställningstyp, Ansættelsestype, Tipo contratto, Tipo di contratto, Mitarbeitergruppe, Employee Group""",
    "level": "Job Level, Management Level, Level, Career Level, Karrierestufe, Niveau, Nivel, Livello, Nível",
    "role": "Role, Job Role, Rolle, Rôle, Rol, Roll, Papel",
    "jobFamily": "Job Family, Job Function, Job Family Group, Function",
    "managerKey": """
        Manager ID, Manager Employee ID, Manager Employee Number, Manager Number, Manager Person Number,
        Supervisor ID, Supervisor Number, Supervisor EEID, Reports To ID, Reports To Associate ID,
        Manager Worker ID, Line Manager ID, Manager No, Manager Emp ID, Mgr ID, Mgr Emp ID, Personalnummer Vorgesetzter,
        Vorgesetzter Personalnummer, Vorgesetzten-ID, Matricule manager, Matricule responsable, ID responsable,
        Leder ansattnummer, Chef ID, Chef anställningsnummer""",
    "manager": """
        Manager, Mgr, Supervisor, Reports To, Line Manager, Reporting Manager, Direct Manager, Manager Name,
        Supervisor Name, Reports To Name, Worker's Manager, Manager User ID, Manager UPN, Vorgesetzter,
        Vorgesetzte, Führungskraft, Disziplinarvorgesetzter, Teamleiter, Responsable, Supérieur hiérarchique, N+1,
        Jefe, Supervisor directo, Responsable directo, Leidinggevende, Manager naam, Leder, Nærmeste leder,
        Overordnet, Chef, Närmaste chef, Nærmeste chef, Superiore, Responsabile, Gestor, Chefia, Superior""",
    "managerMail": """
        Manager Email, Manager's Email, Manager Email Address, Supervisor Email, Reports To Email, Line Manager Email,
        Manager Work Email, E-Mail Vorgesetzter, Email responsable, Leder e-post, Chef e-post""",
    "dotLine": "Dotted Line Manager, Matrix Manager, Matrix Manager ID, Dotted Line Manager ID, Fachvorgesetzter",
    "assistant": "Assistant, Assistant ID, Assistant Name, Assistenz",
    "workEmail": """
        Work Email, Email, E-Mail, Mail, Email Address, E-Mail Address, Work Email Address, Business Email,
        Company Email, Corporate Email, Primary Email, Primary Work Email, Email - Work, Email - Primary Work,
        Office Email, Work Contact: Work Email, Business Email Information Email Address, User Email,
        E-Mail-Adresse, Dienstliche E-Mail, Geschäftliche E-Mail, E-Mail (geschäftlich), E-Mail dienstlich,
        Firmen-E-Mail, Courriel, Adresse e-mail, E-mail professionnel, Courriel professionnel, Correo,
        Correo electrónico, Correo corporativo, Email corporativo, Correo de trabajo, E-mailadres,
        Zakelijk e-mailadres, Werk e-mail, E-post, E-postadresse, E-postadress, Jobb e-post, Arbeidse-post,
        Arbejdsmail, Mailadresse, Email aziendale, Indirizzo e-mail, Posta elettronica, E-mail corporativo,
        Endereço de e-mail""",
    "otherEmail": "Secondary Email, Second Email, Alternate Email, Other Email, Additional Email, Zweite E-Mail",
    "workPhone": """
        Work Phone, Business Phone, Phone, Telephone, Phone Number, Telephone Number, Office Phone,
        Work Phone Number, Primary Work Phone, Business Phone Number, Desk Phone, Work Telephone, Phone - Work,
        Direct Line, Biz Phone, Work Contact: Work Phone, Business Phones, Extension Phone, Telefon,
        Telefonnummer, Festnetz, Telefon geschäftlich, Telefon dienstlich, Dienstliche Telefonnummer, Téléphone,
        Téléphone professionnel, Tél., Téléphone fixe, Teléfono, Teléfono de trabajo, Teléfono oficina, Telefoon,
        Telefoonnummer, Zakelijk telefoonnummer, Vast telefoonnummer, Telefonnr, Jobbtelefon, Telefono,
        Telefono aziendale, Telefone, Telefone comercial, Arbejdstelefon""",
    "mobile": """
        Mobile Phone, Mobile, Mobile Number, Cell Phone, Cell, Mobile Phone Number, Work Mobile, Business Mobile,
        Cellphone, Work Contact: Work Mobile, Cellular Phone, Work Cell, Company Mobile, Handy, Handynummer,
        Mobiltelefon, Mobilnummer, Mobil, Diensthandy, Téléphone mobile, Portable, Mobile professionnel, Móvil,
        Teléfono móvil, Celular, Mobiel, Mobiel nummer, Mobiele telefoon, Cellulare, Telefono cellulare, Telemóvel""",
    "fax": "Fax, Fax Number, Work Fax, Business Fax, Faxnummer, Télécopie",
    "pager": "Pager, Pager Number",
    "street": """
        Street Address, Street, Address, Address Line 1, Address 1, Office Address, Work Address,
        Business Address, Addr1, Work Address Line 1, Office Street, Straße, Strasse, Adresse, Anschrift,
        Büroadresse, Rue, Adresse du site, Dirección, Calle, Straat, Adres, Adress, Gatuadress, Gateadresse,
        Indirizzo, Via, Endereço, Rua, Company Address""",
    "city": """
        City, Town, Work City, Office City, Work Location City, Location City, Stadt, Ort, Ville, Ciudad, Stad,
        Plaats, Poststed, By, Città, Cidade, Localidad, Localité""",
    "state": """
        State, Province, State/Province, Work State, Office State, Bundesland, Kanton, Provincia, Provincie,
        Estado/Provincia""",
    "postalCode": """
        Postal Code, Zip Code, Zip, ZIP/Postal Code, Postcode, Work Zip, Work Postal Code, Office Postal Code, PLZ,
        Postleitzahl, Code postal, Código postal, CP, Postnummer, CAP, CEP""",
    "country": """
        Country, Country Code, Country/Region, Work Country, Office Country, Location Country, Country Name,
        Usage Location, Land, Ländercode, Pays, País, Paese, Country of Work, Arbeitsland""",
    "postOfficeBox": "PO Box, P.O. Box, Post Office Box, Postfach, Postbus, Postboks, Postbox, Boîte postale",
    "skills": """
        Skills, Skill, Competencies, Competences, Expertise, Kenntnisse, Fähigkeiten, Kompetenzen, Compétences,
        Competencias, Habilidades, Vaardigheden, Competenties, Ferdigheter, Kompetanse, Kompetenser, Färdigheter,
        Kompetencer, Competenze, Competências""",
    "languages": """
        Languages, Language Skills, Spoken Languages, Languages Spoken, Sprachen, Sprachkenntnisse, Langues,
        Idiomas, Talen, Språk, Sprog, Lingue""",
    "locale": """
        Language, Preferred Language, Locale, Default Locale, Correspondence Language, Display Language, Sprache,
        Langue,
        Idioma, Taal, Lingua""",
    "certifications": """
        Certifications, Certification, Certificates, Licenses and Certifications, Zertifikate, Zertifizierungen,
        Certificaciones, Certificaten, Sertifiseringer, Certifieringar, Certificeringer, Certificazioni,
        Certificações""",
    "school": """
        School, University, College, Institution, School Name, College/Institution, Hochschule, Universität,
        Université, École, Universidad, Universiteit, Universitet, Università, Universidade""",
    "degree": """
        Degree, Education, Highest Degree, Qualification, Abschluss, Diplôme, Título académico, Diploma,
        Utdanning, Utbildning""",
    "major": "Major, Majors, Field of Study, Specialization, Studienfach, Fachrichtung, Studierichting",
    "interests": "Interests, Hobbies, Interessen, Hobbys, Intereses, Interesses, Interesser, Interessi",
    "projects": """
        Projects, Project, Current Projects, Projekte, Projets, Proyectos, Projecten, Prosjekter, Projekt,
        Progetti, Projetos""",
    "awards": "Awards, Honors, Honours, Recognitions, Auszeichnungen, Premios, Priser, Utmärkelser",
    "publications": "Publications, Publikationen, Publicaciones, Publicaties, Publikasjoner, Pubblicazioni",
    "patents": "Patents, Patente, Brevets, Patentes, Octrooien, Brevetti",
    "website": "Website, Web Site, Homepage, Blog, Webseite, Site web, Sitio web, Nettside, Webbplats",
    "linkedIn": "LinkedIn, LinkedIn URL, LinkedIn Profile, LinkedIn Profil",
    "about": "About Me, About, Bio, Biography, Summary, Profile Summary, Über mich, À propos",
    "from": """
        Effective Date, Effective From, Valid From, Effective Start Date, Job Information: Date, Gültig ab,
        Gültig von, Fecha efectiva""",
    "until": "Effective End Date, Effective Until, Effective To, Valid To, Valid Until, Gültig bis",
    "endDate": """
        Termination Date, End Date, Last Day, Last Working Day, Employment End Date, Contract End Date,
        Leave Date, Leaving Date, Austrittsdatum, Austritt, Vertragsende, Date de sortie, Fecha de baja,
        Fecha de salida, Datum uit dienst, Uit dienst, Sluttdato, Slutdatum, Slutdato, Data di cessazione,
        Data de demissão""",
}
"""What a column means, and how it is called by Workday, SuccessFactors, BambooHR, ADP, Personio, Oracle, Microsoft's
CSV2SCIM and Entra, and in nine languages. The first spelling counts most where several columns mean the same."""


def _spellings(listed: str) -> Iterator[str]:
    return (" ".join(part.split()) for part in listed.split(",") if part.strip())


def _folded(name: str) -> str:
    return "".join(words(name))


KNOWN: Final = tuple(dict.fromkeys(name for listed in _SPELLINGS.values() for name in _spellings(listed)))
"""All names that are known, by which a header is found behind the lines that precede it."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a column's name says. ``rank`` orders columns of one meaning; ``like``: the name it was taken for."""

    of: str
    rank: int
    like: str = ""


def _meanings() -> dict[str, Meaning]:
    found: dict[str, Meaning] = {}
    for of, listed in _SPELLINGS.items():
        for rank, name in enumerate(_spellings(listed)):
            found.setdefault(_folded(name), Meaning(of, rank))
    return found


_MEANINGS: Final = _meanings()
_WHOSE: Final = frozenset(("employee", "worker", "emp", "staff", "person", "user", "associate", "current", "primary"))
_CLOSE: Final = 0.9
_LONG: Final = 6
"""Letters from which a name may be taken for one that is spelled much like it."""


def meaning(name: str) -> Meaning | None:
    """Return what a column's name says, None when that is not known.

    ``Employee First Name`` is a first name, ``Departmnet`` a department; the latter says so.
    """
    told = words(name)
    folded = "".join(told)
    if known := _MEANINGS.get(folded):
        return known
    rest = tuple(word for word in told if word not in _WHOSE)
    if rest and len(rest) < len(told) and (known := _MEANINGS.get("".join(rest))):
        return Meaning(known.of, known.rank + 100)
    close = difflib.get_close_matches(folded, _MEANINGS, n=1, cutoff=_CLOSE) if len(folded) >= _LONG else []
    if not close or _digits(close[0]) != _digits(folded):
        return None
    known = _MEANINGS[close[0]]
    return Meaning(known.of, known.rank + 200, like=_written(close[0]))


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _written(folded: str) -> str:
    return next(name for name in KNOWN if _folded(name) == folded)
