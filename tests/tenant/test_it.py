"""IT follows what files name, in the way a mapping finds people; and what ``make serve`` makes of what it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connector.core.manifest import read_manifest
from connector.core.mapping import load_mapping
from connector.errors import ConfigurationError, ExportError
from connector.settings import Settings
from tests.tenant import Tenant
from tests.tenant.it import It
from tests.tenant.own import CHOSEN, PASSED, files_of, manifest_of, own, passed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tenant.graph.state import User

MAPPING = """
format = 1
[key]
column = "Id"
[account]
column = "Login"
match = "{match}"
[[property]]
name = "accounts"
label = "personAccount"
[[property]]
name = "name"
label = "personName"
[property.fields]
displayName = "Name"
[[property]]
name = "position"
label = "personCurrentPosition"
[property.fields]
"detail.jobTitle" = "Title"
manager = {{ person = "Boss", by = "mail", relationship = "manager" }}
[status]
column = "Status"
in_scope = ["Active"]
leaver = ["Left"]
"""
GUID = "6f1b1f0a-0000-4000-8000-00000000000a"


def it_of(match: str) -> It:
    """Return an IT department, in an empty tenant, that knows how a mapping finds people."""
    return It(Tenant().graph, load_mapping("own", MAPPING.format(match=match).encode()))


def a_file(*rows: str) -> bytes:
    """Return an export of these rows."""
    return "\n".join(("Id,Login,Name,Title,Boss,Status", *rows, "")).encode()


def only(it: It) -> User:
    """Return the only user there is."""
    (user,) = it.graph.users.values()
    return user


@pytest.mark.parametrize(
    ("match", "login", "upn"),
    [
        ("userPrincipalName", "zoe@contoso.com", "zoe@contoso.com"),
        ("mail", "zoe.baker@contoso.com", "zoe.baker@contoso.com"),
        ("employeeId", "4711", "zoe.baker@contoso.com"),
        ("id", GUID, "zoe.baker@contoso.com"),
    ],
)
def test_everybody_gets_a_user_that_the_mapping_finds(match: str, login: str, upn: str) -> None:
    """A user is made with what the mapping asks for, and a user principal name as IT makes them."""
    it = it_of(match)

    it.follow("people.csv", a_file(f"1,{login},Zoë Baker,Chef,,Active"))

    user = only(it)
    held = {
        "userPrincipalName": user.upn,
        "mail": user.mail,
        "employeeId": user.attributes.get("employeeId"),
        "id": user.id,
    }
    assert (held[match], user.upn) == (login, upn)
    assert user.attributes["displayName"] == "Zoë Baker"
    assert it.accounts == {"1": user.id}


@pytest.mark.parametrize("match", ["userPrincipalName", "mail"])
def test_somebody_with_a_new_login_is_the_same_user(match: str) -> None:
    """The key says who it is: a new user principal name or address is a change of the user, not another one."""
    it = it_of(match)
    it.follow("people.csv", a_file("1,old@contoso.com,Zoë,Chef,,Active"))
    before = only(it).id

    it.follow("people.csv", a_file("1,new@contoso.com,Zoë,Chef,,Active"))

    assert (only(it).id, only(it).mail) == (before, "new@contoso.com")


def test_whom_others_name_has_a_user_too() -> None:
    """A manager who is in no row, but named by an address, is found by it."""
    it = it_of("userPrincipalName")

    it.follow("people.csv", a_file("1,zoe@contoso.com,Zoë,Chef,Boss@contoso.com,Active"))

    assert sorted((user.mail or "").casefold() for user in it.graph.users.values()) == [
        "boss@contoso.com",
        "zoe@contoso.com",
    ]


def test_nobody_gets_a_user_for_a_wrong_row_or_for_leaving() -> None:
    """Whoever has left needs none, and whom a wrong row means cannot be told."""
    it = it_of("userPrincipalName")

    it.follow("people.csv", a_file("1,zoe@contoso.com,Zoë,Chef,,Left", "2,no login,Bo,Chef,,Active"))

    assert not it.graph.users


def test_a_file_that_cannot_be_read_changes_nothing() -> None:
    """IT says why, in the connector's words."""
    it = it_of("userPrincipalName")

    with pytest.raises(ExportError):
        it.follow("people.csv", b"")

    assert not it.graph.users


def test_two_people_of_one_name_have_two_users() -> None:
    """The second one's user principal name is made of what the mapping asks for."""
    it = it_of("employeeId")

    it.follow("people.csv", a_file("1,11,Łukasz Groß,Chef,,Active", "2,12,Łukasz Groß,Clerk,,Active"))

    assert [user.upn for user in it.graph.users.values()] == ["lukasz.gross@contoso.com", "12@contoso.com"]


def test_a_folder_is_its_exports_and_several_files_have_a_manifest(tmp_path: Path) -> None:
    """What is no export is left alone; the connector reads the manifest as one population of all files."""
    for name in ("b.csv", "a.csv.gz", "notes.txt"):
        (tmp_path / name).write_bytes(b"Id\n1\n")

    files = files_of([tmp_path])
    manifest = read_manifest("a.csv.gz", str(manifest_of(files)).replace("'", '"').encode(), takes=lambda _: True)

    assert [file.name for file in files] == ["a.csv.gz", "b.csv"]
    assert (manifest.problem, manifest.kind) == ("", "complete")
    assert [file.name for file in manifest.files] == ["a.csv.gz", "b.csv"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """A file that is missing, a folder without exports, two files of one name, a mapping that preview cannot have."""
    mapping = tmp_path / "mine.toml"
    mapping.write_text(MAPPING.format(match="mail"), encoding="utf-8")
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "people.csv").write_bytes(b"Id\n1\n")

    with pytest.raises(FileNotFoundError, match=r"gone\.csv is not there"):
        files_of([tmp_path / "gone.csv"])
    with pytest.raises(FileNotFoundError, match="has no exports"):
        files_of([tmp_path])
    with pytest.raises(FileExistsError, match=r"people\.csv"):
        files_of([tmp_path / "one", tmp_path / "two"])
    with pytest.raises(ConfigurationError, match="preview"):
        own(str(mapping), [], contract="preview")
    assert own(str(mapping), [], contract="labels").setting == "blob:mine.toml"


def test_every_setting_goes_along_but_addresses_and_identities() -> None:
    """What the local tenant has of its own cannot be set from outside, everything else can; empty is absent."""
    kept = {name.upper() for name in Settings.model_fields} - CHOSEN - set(PASSED)

    assert kept == {
        *("TENANT_ID", "KEY_VAULT_URL", "ADMIN_CLIENT_ID", "INGEST_CLIENT_ID", "AZURE_CLIENT_ID", "GRAPH_BASE_URL"),
        *("ADMIN_CREDENTIAL_NAME", "INGEST_CREDENTIAL_NAME", "GRAPH_CREDENTIAL_MODE", "PROFILE_SOURCE_URL"),
        *("HR_STORAGE_URL", "HR_STORAGE_CONNECTION_STRING"),
        *("EXPORTS_CONTAINER", "STATE_CONTAINER", "REPORTS_CONTAINER", "QUARANTINE_CONTAINER"),
    }
    assert passed({"PILOT": "5%", "MAX_DELETE_COUNT": " ", "TENANT_ID": "x"}) == {"PILOT": "5%"}
