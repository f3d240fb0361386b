"""The tenant's people settings: profile sources, and the order in which they count."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.tenant.graph.replies import Refusal, bad_request, not_found
from tests.tenant.graph.state import ENTRA_SOURCE, GLOBAL_SETTING, Json, ProfileSource, PropertySetting
from tests.tenant.wire import Reply, json_reply

if TYPE_CHECKING:
    from tests.tenant.graph.call import Call
    from tests.tenant.graph.simulator import GraphSimulator

_SETTING_MEMBERS = {"name", "displayName", "prioritizedSourceUrls", "@odata.type"}
_SOURCE_URL = re.compile(r"https://[^/]+/(v1\.0|beta)/admin/people/profileSources\(sourceId='([^']+)'\)")


def source_ids(setting: PropertySetting) -> list[str]:
    """Return the ids of the prioritised sources, highest first, whatever the base of their addresses.

    https://learn.microsoft.com/graph/profilepriority-configure-profilepropertysetting [certain: bases are equivalent]
    """
    return [match[2] for url in setting.urls if (match := _SOURCE_URL.fullmatch(url))]


def list_sources(graph: GraphSimulator, call: Call) -> Reply:
    """List the profile sources, built-in ones included.

    https://learn.microsoft.com/graph/api/peopleadminsettings-list-profilesources [certain]
    """
    return json_reply(200, {"value": [_source_json(source) for source in graph.sources.values()]})


def create_source(graph: GraphSimulator, call: Call) -> Reply:
    """Register a profile source.

    https://learn.microsoft.com/graph/api/peopleadminsettings-post-profilesources [certain; likely: 409 for the second]
    """
    body = call.json_object()
    source_id = body.get("sourceId")
    if not isinstance(source_id, str) or not source_id:
        raise bad_request("sourceId is required.")
    _check_source(body, allowed=graph.rules.source_members | {"sourceId"})
    if source_id in graph.sources:
        raise Refusal(409, "Conflict", "A profile source with this source id already exists.")
    content: Json = {name: body[name] for name in ("displayName", "kind", "webUrl", "localizations") if name in body}
    source = ProfileSource(graph.new_id(), source_id, content, graph.clock.monotonic())
    graph.sources[source_id] = source
    return json_reply(201, _source_json(source))


def get_source(graph: GraphSimulator, call: Call, key: str) -> Reply:
    """Return a profile source by its source id or by its id.

    https://learn.microsoft.com/graph/api/profilesource-get [certain]
    """
    return json_reply(200, _source_json(_source(graph, key)))


def update_source(graph: GraphSimulator, call: Call, key: str) -> Reply:
    """Change a profile source; its source id stays.

    https://learn.microsoft.com/graph/api/profilesource-update [certain]
    """
    source = _source(graph, key)
    body = call.json_object()
    _check_source(body, allowed=graph.rules.source_members, complete=False)
    source.content |= {name: value for name, value in body.items() if not name.startswith("@")}
    return json_reply(200, _source_json(source))


def delete_source(graph: GraphSimulator, call: Call, key: str) -> Reply:
    """Delete a profile source that is in no priority list any more.

    https://learn.microsoft.com/graph/api/profilesource-delete [certain; likely: the refusal while prioritised, and
    that the list's change takes a while to count (``priority_lag_seconds``)]
    """
    source = _source(graph, key)
    prioritized = any(source.source_id in source_ids(setting) for setting in graph.settings.values())
    if prioritized or graph.clock.monotonic() < source.prioritized_until:
        raise bad_request("Profile source is in priority list")
    if source.source_id == ENTRA_SOURCE:
        raise bad_request("A built-in profile source cannot be deleted.")
    del graph.sources[source.source_id]
    return Reply(204)


def list_settings(graph: GraphSimulator, call: Call) -> Reply:
    """List the property settings; the tenant-wide one has no name and may not exist yet.

    https://learn.microsoft.com/graph/api/peopleadminsettings-list-profilepropertysettings [certain]
    """
    return json_reply(200, {"value": [_setting_json(setting) for setting in graph.settings.values()]})


def create_setting(graph: GraphSimulator, call: Call) -> Reply:
    """Create a property setting; only one may be without a name.

    https://learn.microsoft.com/graph/api/peopleadminsettings-post-profilepropertysettings [certain; unknown: that the
    second nameless one is a 409]
    """
    body = call.json_object()
    _check_setting(graph, body)
    name = body.get("name")
    if name is None and any(setting.name is None for setting in graph.settings.values()):
        raise Refusal(409, "Conflict", "The tenant already has a global profile property setting.")
    setting_id = GLOBAL_SETTING if name is None else graph.new_id()
    setting = PropertySetting(setting_id, name, body.get("displayName"), _with_entra(call, body))
    graph.settings[setting.id] = setting
    return json_reply(201, _setting_json(setting))


def update_setting(graph: GraphSimulator, call: Call, setting_id: str) -> Reply:
    """Replace the order of the sources; the service adds Entra when it is left out.

    https://learn.microsoft.com/graph/api/profilepropertysetting-update [certain; likely: the addition of Entra]
    """
    setting = _setting(graph, setting_id)
    body = call.json_object()
    _check_setting(graph, body)
    before = source_ids(setting)
    setting.urls = _with_entra(call, body)
    setting.display_name = body.get("displayName", setting.display_name)
    for removed in set(before) - set(source_ids(setting)):
        if removed in graph.sources:
            graph.sources[removed].prioritized_until = graph.clock.monotonic() + graph.priority_lag_seconds
    return json_reply(200, _setting_json(setting))


def delete_setting(graph: GraphSimulator, call: Call, setting_id: str) -> Reply:
    """Delete a property setting that lists nothing but Entra.

    https://learn.microsoft.com/graph/profilepriority-configure-profilepropertysetting [certain]
    """
    setting = _setting(graph, setting_id)
    if set(source_ids(setting)) != {ENTRA_SOURCE}:
        raise bad_request("Only a setting that lists just Microsoft Entra can be deleted.")
    del graph.settings[setting_id]
    return Reply(204)


def _source(graph: GraphSimulator, key: str) -> ProfileSource:
    match = re.fullmatch(r"\(sourceId='([^']+)'\)", key)
    for source in graph.sources.values():
        if (match and source.source_id == match[1]) or key == f"/{source.id}":
            return source
    raise not_found(f"there is no profile source {key!r}")


def _setting(graph: GraphSimulator, setting_id: str) -> PropertySetting:
    if setting_id not in graph.settings:
        raise not_found(f"there is no profile property setting {setting_id!r}")
    return graph.settings[setting_id]


def _check_source(body: Json, *, allowed: frozenset[str], complete: bool = True) -> None:
    """Hold to the members of a profile source.

    https://learn.microsoft.com/graph/api/resources/profilesource [certain: members, https; likely: required]
    """
    if unknown := set(body) - allowed:
        raise bad_request("The request is malformed or incorrect.", reason=f"cannot be set: {sorted(unknown)}")
    if complete and not (body.get("displayName") and body.get("webUrl")):
        raise bad_request("displayName and webUrl are required.")
    if "webUrl" in body and not str(body["webUrl"]).startswith("https://"):
        raise bad_request("webUrl must be an https address.")


def _check_setting(graph: GraphSimulator, body: Json) -> None:
    if unknown := set(body) - _SETTING_MEMBERS:
        raise bad_request("The request is malformed or incorrect.", reason=f"cannot be set: {sorted(unknown)}")
    urls: Any = body.get("prioritizedSourceUrls")
    if not isinstance(urls, list) or not urls:
        raise bad_request("prioritizedSourceUrls is required.")
    for url in urls:
        match = _SOURCE_URL.fullmatch(url) if isinstance(url, str) else None
        if match is None or match[1] not in graph.rules.versions or match[2] not in graph.sources:
            raise bad_request("prioritizedSourceUrls names an unknown profile source.", reason=f"{url!r}")


def _with_entra(call: Call, body: Json) -> list[str]:
    urls: list[str] = body["prioritizedSourceUrls"]
    if any(f"'{ENTRA_SOURCE}'" in url for url in urls):
        return list(urls)
    return [*urls, source_url(ENTRA_SOURCE, version=call.version)]


def source_url(source_id: str, *, version: str = "v1.0") -> str:
    """Return the address by which priority lists name a source."""
    return f"https://graph.microsoft.com/{version}/admin/people/profileSources(sourceId='{source_id}')"


def _source_json(source: ProfileSource) -> Json:
    named = {"@odata.type": "#microsoft.graph.profileSource", "id": source.id, "sourceId": source.source_id}
    return {**named, "kind": None, "localizations": [], **source.content}


def _setting_json(setting: PropertySetting) -> Json:
    named = {"id": setting.id, "name": setting.name, "displayName": setting.display_name}
    return {**named, "prioritizedSourceUrls": setting.urls}
