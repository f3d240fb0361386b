"""Where the beliefs come from: public pages with the date they bear, and reports from the field."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """A page (with its address), or a field report (the name of the public repository that holds it).

    ``date`` is the page's own, the date of the commit for a report; empty where the page was seen without one.
    """

    name: str
    url: str = ""
    date: str = ""


_LEARN = "https://learn.microsoft.com"
_API = f"{_LEARN}/graph/api"


def _page(name: str, path: str, date: str = "") -> Source:
    return Source(name, f"{_LEARN}/{path}", date)


# What people data is, and what its profile is made of.
BUILD = _page(
    "Build connectors with people data",
    "microsoft-365-copilot/extensibility/build-connectors-with-people-data",
    "2026-07-20",
)
PEOPLE_CONNECTORS = _page("Connectors for people data", "graph/peopleconnectors", "2026-04-08")
PEOPLE_SOURCES = _page("People data sources", "graph/people-data-sources", "2026-06-08")
PRIORITY = _page("Configure profile priority", "graph/profilepriority-configure-profilepropertysetting", "2026-06-08")
SOURCE_SETTINGS = _page("Manage profile source settings", "graph/profilesource-configure-settings", "2025-04-30")
ENTITIES = Source("Profile entities, beta metadata", f"{_API}/resources/profile", "2026-08-20")
ENTITY_PAGES = tuple(
    Source(name, f"{_API}/resources/{name.casefold()}")
    for name in (
        "userAccountInformation", "personName", "workPosition", "positionDetail", "companyDetail", "relatedPerson",
        "itemEmail", "itemPhone", "skillProficiency", "physicalAddress", "itemAddress", "outlookGeoCoordinates",
        "yomiPersonName", "personAnnualEvent", "personAward", "personCertification", "educationalActivity",
        "educationalActivityDetail", "institutionData", "personInterest", "languageProficiency", "personAnnotation",
        "itemBody", "itemPatent", "itemPublication", "projectParticipation", "webAccount", "serviceInformation",
        "personWebsite",
    )
)  # fmt: skip
TUTORIAL = Source(
    "The builder page's first form, a walkthrough (preview)",
    f"{_LEARN}/microsoft-365-copilot/extensibility/build-connectors-with-people-data",
    "2025-06-09",
)

# Connections, schemas, operations, items.
CONNECTION = Source("externalConnection", f"{_API}/resources/externalconnectors-externalconnection", "2026-02-24")
CREATE_CONNECTION = Source(
    "Create externalConnection", f"{_API}/externalconnectors-external-post-connections", "2025-07-23"
)
LIST_CONNECTIONS = Source("List externalConnections", f"{_API}/externalconnectors-external-list-connections")
GET_CONNECTION = Source("Get externalConnection", f"{_API}/externalconnectors-externalconnection-get")
UPDATE_CONNECTION = Source(
    "Update externalConnection", f"{_API}/externalconnectors-externalconnection-update", "2024-06-26"
)
DELETE_CONNECTION = Source("Delete externalConnection", f"{_API}/externalconnectors-externalconnection-delete")
MANAGE_CONNECTIONS = _page(
    "Create, update and delete connections", "graph/connecting-external-content-manage-connections"
)
PATCH_SCHEMA = Source(
    "Create or update schema", f"{_API}/externalconnectors-externalconnection-patch-schema", "2025-07-23"
)
GET_SCHEMA = Source("Get schema", f"{_API}/externalconnectors-schema-get")
PROPERTY = Source("property of a schema", f"{_API}/resources/externalconnectors-property")
MANAGE_SCHEMA = _page("Register and update schema", "graph/connecting-external-content-manage-schema", "2024-11-07")
OPERATION = Source("Get connectionOperation", f"{_API}/externalconnectors-connectionoperation-get")
ITEM = Source("externalItem", f"{_API}/resources/externalconnectors-externalitem", "2026-07-14")
PUT_ITEM = Source("Create externalItem", f"{_API}/externalconnectors-externalconnection-put-items", "2026-07-15")
UPDATE_ITEM = Source("Update externalItem", f"{_API}/externalconnectors-externalitem-update", "2026-07-14")
GET_ITEM = Source("Get externalItem", f"{_API}/externalconnectors-externalitem-get")
DELETE_ITEM = Source("Delete externalItem", f"{_API}/externalconnectors-externalitem-delete")
LIMITS = _page("Connectors API limits", "graph/connecting-external-content-api-limits", "2026-07-24")
OVERVIEW = _page("Connectors API overview", "graph/connecting-external-content-connectors-api-overview")
FUTURE_MEMBERS = _page(
    "Best practices: future members in enumerations",
    "graph/best-practices-concept#handling-future-members-in-evolvable-enumerations",
)

# Profile sources and their priority.
PROFILE_SOURCE = Source("profileSource", f"{_API}/resources/profilesource", "2026-03-12")
LIST_SOURCES = Source("List profileSources", f"{_API}/peopleadminsettings-list-profilesources")
GET_SOURCE = Source("Get profileSource", f"{_API}/profilesource-get")
CREATE_SOURCE = Source("Create profileSource", f"{_API}/peopleadminsettings-post-profilesources", "2026-04-15")
UPDATE_SOURCE = Source("Update profileSource", f"{_API}/profilesource-update")
DELETE_SOURCE = Source("Delete profileSource", f"{_API}/profilesource-delete", "2026-02-10")
LIST_SETTINGS = Source("List profilePropertySettings", f"{_API}/peopleadminsettings-list-profilepropertysettings")
CREATE_SETTING = Source(
    "Create profilePropertySetting", f"{_API}/peopleadminsettings-post-profilepropertysettings", "2025-05-02"
)
UPDATE_SETTING = Source("Update profilePropertySetting", f"{_API}/profilepropertysetting-update", "2026-03-16")

# Users, batches, throttling, errors, tokens.
LIST_USERS = Source("List users", f"{_API}/user-list")
GET_USER = Source("Get user", f"{_API}/user-get")
USER = Source("user", f"{_API}/resources/user")
QUERIES = _page("Advanced queries on Entra objects", "graph/aad-advanced-queries")
PAGING = _page("Paging", "graph/paging")
BATCH = _page("JSON batching", "graph/json-batching", "2026-05-20")
THROTTLING = _page("Throttling guidance", "graph/throttling", "2026-05-20")
THROTTLING_LIMITS = _page("Throttling limits", "graph/throttling-limits", "2026-02-06")
ERRORS = _page("Error responses", "graph/errors")
AUTH_ERRORS = _page("Resolve authorization errors", "graph/resolve-auth-errors")
BEST_PRACTICES = _page("Best practices: reliability", "graph/best-practices-concept#reliability-and-support")
PERMISSIONS = _page("Permissions reference", "graph/permissions-reference")
DEPLOYMENTS = _page("National clouds", "graph/deployments")
TOKENS = _page("Access token claims", "entra/identity-platform/access-token-claims-reference")
CLAIMS_CHALLENGE = _page("Claims challenges", "entra/identity-platform/claims-challenge")
VERSIONS = _page("Versions of Graph", "graph/versioning-and-support")
ENTRA_CODES = _page("Entra error codes", "entra/identity-platform/reference-error-codes")
CLIENT_CREDENTIALS = _page("Client credentials flow", "entra/identity-platform/v2-oauth2-client-creds-grant-flow")
URLS = Source("RFC 3986, fragments", "https://www.rfc-editor.org/rfc/rfc3986#section-3.5", "2005-01")

# From the field: what somebody saw in a tenant. No promise of Microsoft's.
_AUTHOR = "wictorwilen/cocogen"
FIELD_PROVISIONING = Source("field report, Aanerud/microsoft-365-provisioning", date="2026-01 to 05")
FIELD_GENERATOR = Source(f"field code, {_AUTHOR}", date="2026-04-09")
FIELD_PROFILE_CARD = Source("field report, ProfKaz/Profile-Card---Awards-Recognitions-and-badges", date="2026-10-01")
FIELD_CONNECTORS = Source("field report, JosephSaad/m365-copilot-connectors", date="2026-08 to 09")
FIELD_SAMPLE = Source("Microsoft's sample, microsoftgraph/msgraph-people-connector-sample-dotnet", date="2025-07-22")
FIELD_TWO_APPS = Source("field report, pnp/cli-microsoft365 and a public gist", date="2021 to 2024")
SDK = Source("what Microsoft's SDK sends, microsoftgraph/msgraph-beta-sdk-python", date="1.66.0")
NOWHERE = Source("not found in any public page")
