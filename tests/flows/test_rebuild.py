"""A ledger that is lost: nothing is done until a person asks for it to be begun anew."""

from __future__ import annotations

from connector.core.due import Request
from tests.flows.world import a_person, a_world, item_of


async def test_a_lost_ledger_is_refused_until_it_is_begun_anew():
    """Without its ledger a run is refused and says what to ask for; asked for, everyone is sent and nobody deleted."""
    world = await a_world()
    staff = [a_person("E1", title="Chef"), a_person("E2"), a_person("E3")]
    await world.night(staff)
    await world.containers.state.delete("contosohr/ledger/00000001.jsonl.gz")

    refused = await world.night(staff[:2])
    tick = await world.application().tick(trigger="cli", request=Request("cli", full=True, rebuild=True))

    assert refused["outcome"] == "refused"
    assert refused["error"]["code"] == "ledger_missing"
    assert "--full --rebuild" in refused["error"]["message"]
    assert tick.report is not None
    assert tick.report.outcome == "completed"
    assert tick.report.counts.created == 2
    assert item_of("E3") in world.graph.items
    assert world.title("e1@contoso.com") == "Chef"


async def test_a_ledger_begun_anew_serves_the_next_night():
    """After the rebuild an unchanged export sends nothing again."""
    world = await a_world()
    staff = [a_person("E1"), a_person("E2")]
    await world.night(staff)
    await world.containers.state.delete("contosohr/ledger/00000001.jsonl.gz")
    await world.application().tick(trigger="cli", request=Request("cli", full=True, rebuild=True))
    before = len(world.graph.requests)

    report = await world.night(staff)

    assert report["outcome"] == "unchanged"
    assert len(world.graph.requests) == before
