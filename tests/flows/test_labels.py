"""Every label ends on a profile, under both contracts, and nothing of what was sent for it is ignored."""

from __future__ import annotations

from typing import Any

import pytest

from connector.core.entities import LABELS
from tests.flows.world import Row, World

UPN = "ada@contoso.com"

MAPPING = """
format = 1
[key]
column = "EmployeeId"
[account]
column = "UserPrincipalName"
[[property]]
name = "accounts"
label = "personAccount"
"""

POSITION = """
[[property]]
name = "position"
label = "personCurrentPosition"
[property.fields]
"detail.jobTitle" = "Title"
"""

ADDRESS = """
"detail.street" = "Street"
"detail.city" = "City"
"detail.countryOrRegion" = "Country"
"detail.type" = { constant = "business" }
"geoCoordinates.latitude" = "Latitude"
"""

LABELLED: dict[str, tuple[str, Row, Any]] = {
    "personCurrentPosition": (
        """
        categories = { column = "Teams", list = ";" }
        isCurrent = { constant = true }
        "detail.startMonthYear" = "Since"
        "detail.layer" = "Layer"
        "detail.company.address.city" = "City"
        """,
        {"Teams": "R&D; Board", "Since": "2021-03-01", "Layer": "3", "City": "Bergen"},
        {
            "categories": ["R&D", "Board"],
            "isCurrent": True,
            "detail": {"startMonthYear": "2021-03-01", "layer": 3, "company": {"address": {"city": "Bergen"}}},
        },
    ),
    "personWorkPositions": (
        '"detail.jobTitle" = { column = "Former", split = ";" }\nisCurrent = { constant = false }',
        {"Former": "Clerk; Apprentice"},
        [{"detail": {"jobTitle": title}, "isCurrent": False} for title in ("Clerk", "Apprentice")],
    ),
    "personName": (
        'first = "First"\n"pronunciation.first" = "Spoken"',
        {"First": "Zoë", "Spoken": "Zo-ee"},
        {"first": "Zoë", "pronunciation": {"first": "Zo-ee"}},
    ),
    "personEmails": (
        'address = { column = "Mails", split = " " }\ntype = { constant = "other" }',
        {"Mails": "a@x.org b@x.org c@x.org"},
        [{"address": f"{name}@x.org", "type": "other"} for name in "abc"],
    ),
    "personPhones": (
        'number = "Phone"\ntype = "Kind"',
        {"Phone": "+47 1", "Kind": "businessFax"},
        [{"number": "+47 1", "type": "businessFax"}],
    ),
    "personAddresses": (
        ADDRESS,
        {"Street": "Allé 1", "City": "Bergen", "Country": "Norway", "Latitude": "60.39"},
        [
            {
                "detail": {"street": "Allé 1", "city": "Bergen", "countryOrRegion": "Norway", "type": "business"},
                "geoCoordinates": {"latitude": 60.39},
            }
        ],
    ),
    "personAnniversaries": (
        'date = "Hired"\ntype = { constant = "work" }',
        {"Hired": "2019-08-01"},
        [{"date": "2019-08-01", "type": "work"}],
    ),
    "personAwards": (
        'displayName = { column = "Awards", split = "|" }\nissuedDate = "Awarded"',
        {"Awards": "Best | Brightest", "Awarded": "2024-06-30"},
        [{"displayName": name, "issuedDate": "2024-06-30"} for name in ("Best", "Brightest")],
    ),
    "personCertifications": (
        'displayName = "Certificate"\ncertificationId = "Number"\nendDate = "Expires"',
        {"Certificate": "CISSP", "Number": "0042", "Expires": "2027-01-31"},
        [{"displayName": "CISSP", "certificationId": "0042", "endDate": "2027-01-31"}],
    ),
    "personEducationalActivities": (
        """
        "institution.displayName" = "School"
        "institution.location.city" = "City"
        "program.fieldsOfStudy" = { column = "Majors", list = ";" }
        completionMonthYear = "Graduated"
        """,
        {"School": "NTNU", "City": "Trondheim", "Majors": "Physics; Maths;Physics;", "Graduated": "2015-06-01"},
        [
            {
                "institution": {"displayName": "NTNU", "location": {"city": "Trondheim"}},
                "program": {"fieldsOfStudy": ["Physics", "Maths"]},
                "completionMonthYear": "2015-06-01",
            }
        ],
    ),
    "personInterests": (
        'displayName = { column = "Interests", split = ";" }\ncollaborationTags = { constant = "askMeAbout" }',
        {"Interests": "Sailing;Go"},
        [{"displayName": name, "collaborationTags": ["askMeAbout"]} for name in ("Sailing", "Go")],
    ),
    "personLanguages": (
        'displayName = "Language"\ntag = "Tag"\nspoken = "Spoken"',
        {"Language": "Norwegian", "Tag": "nb-NO", "Spoken": "nativeOrBilingual"},
        [{"displayName": "Norwegian", "tag": "nb-NO", "spoken": "nativeOrBilingual"}],
    ),
    "personNote": (
        '"detail.content" = "Note"\n"detail.contentType" = { constant = "text" }',
        {"Note": "Ask me about boats."},
        {"detail": {"content": "Ask me about boats.", "contentType": "text"}},
    ),
    "personPatents": (
        'displayName = "Patent"\nisPending = "Pending"',
        {"Patent": "Wheel", "Pending": "TRUE"},
        [{"displayName": "Wheel", "isPending": True}],
    ),
    "personPublications": (
        'displayName = "Book"\npublisher = "Publisher"\npublishedDate = "Published"',
        {"Book": "Notes", "Publisher": "Taylor", "Published": "1843-09-01"},
        [{"displayName": "Notes", "publisher": "Taylor", "publishedDate": "1843-09-01"}],
    ),
    "personProjects": (
        'displayName = { column = "Projects", split = ";" }\n"client.displayName" = "Client"\n"detail.role" = "Role"',
        {"Projects": "Apollo;Gemini", "Client": "NASA", "Role": "Lead"},
        [
            {"displayName": name, "client": {"displayName": "NASA"}, "detail": {"role": "Lead"}}
            for name in ("Apollo", "Gemini")
        ],
    ),
    "personSkills": (
        'displayName = { column = "Skills", split = ";" }\nproficiency = "Level"\ncollaborationTags = "Tag"',
        {"Skills": "Python;SQL", "Level": "expert", "Tag": "ableToMentor"},
        [
            {"displayName": name, "proficiency": "expert", "collaborationTags": ["ableToMentor"]}
            for name in ("Python", "SQL")
        ],
    ),
    "personWebAccounts": (
        'userId = "GitHub"\n"service.name" = { constant = "GitHub" }',
        {"GitHub": "ada"},
        [{"userId": "ada", "service": {"name": "GitHub"}}],
    ),
    "personWebSite": (
        'webUrl = "Site"\ncategories = "Kind"',
        {"Site": "https://ada.example.org", "Kind": "blog"},
        {"webUrl": "https://ada.example.org", "categories": ["blog"]},
    ),
}
"""By label: the fields of a mapping, somebody's cells, and what their profile shows of them."""


async def a_world_of(mapping: str) -> World:
    """Return a world that was set up with a mapping of the operator's own."""
    world = World()
    await world.containers.state.write("mapping.toml", mapping.encode())
    world.decide(MAPPING="blob:mapping.toml")
    await world.setup()
    return world


def labelled(label: str, fields: str) -> str:
    """Return the text of one property."""
    return f'\n[[property]]\nname = "labelled"\nlabel = "{label}"\n[property.fields]\n{fields}\n'


def test_each_label_has_an_example():
    """All of them but the account, which is no part of a profile: it is whom the profile belongs to."""
    assert set(LABELLED) == set(LABELS) - {"personAccount"}


@pytest.mark.parametrize("label", sorted(LABELLED))
async def test_each_label_appears_on_a_profile(label):
    """What HR's cells say stands on the person's profile under that label, and nothing is ignored on the way."""
    fields, cells, expected = LABELLED[label]
    beside = POSITION if label == "personWorkPositions" else ""
    world = await a_world_of(MAPPING + beside + labelled(label, fields))

    await world.night([{"EmployeeId": "E1", "UserPrincipalName": UPN, "Title": "Countess", **cells}])

    shown = world.profiles()[UPN][label]
    assert (shown[: len(expected)] if isinstance(expected, list) else shown) == expected


async def test_former_positions_alone_pass_for_no_current_one(contract):
    """A row with former titles and no present one shows no current position that it does not name."""
    fields, cells, _ = LABELLED["personWorkPositions"]
    world = await a_world_of(MAPPING + POSITION + labelled("personWorkPositions", fields))

    await world.night([{"EmployeeId": "E1", "UserPrincipalName": UPN, "Title": "", **cells}])

    profile = world.profiles()[UPN]
    assert "personCurrentPosition" not in profile
    assert ("personWorkPositions" in profile) is (contract == "labels")


async def test_colleagues_who_name_each_other_have_each_other():
    """They are found by their keys in one cell; that they name each other back is no loop."""
    position = MAPPING + POSITION + 'colleagues = { person = "Peers", list = ";", relationship = "colleague" }\n'
    world = await a_world_of(position)
    keys = ("E1", "E2", "E3")
    rows = [
        {
            "EmployeeId": key,
            "UserPrincipalName": f"{key.lower()}@contoso.com",
            "Title": "Clerk",
            "Peers": ";".join(other for other in (*keys, "E4") if other != key),
        }
        for key in keys
    ]

    report = await world.night(rows)

    profiles = world.profiles()
    shown = [
        [one["userPrincipalName"] for one in profiles[row["UserPrincipalName"]]["personCurrentPosition"]["colleagues"]]
        for row in rows
    ]
    upns = [row["UserPrincipalName"] for row in rows]
    assert shown == [[upn for upn in upns if upn != own] for own in upns]
    assert report["warnings"]["manager_unknown"] == len(rows)
    assert "manager_loop" not in report["warnings"]
