"""The simulated Microsoft Graph: one class, mounted in process or on loopback, and the faults it can be given."""

from tests.tenant.graph.faults import Dropped, Failed, Fault, Kill, Refused, Throttled
from tests.tenant.graph.reading import Ignored
from tests.tenant.graph.seen import Seen
from tests.tenant.graph.simulator import GraphSimulator
from tests.tenant.graph.state import ENTRA_SOURCE, GLOBAL_SETTING
from tests.tenant.wire import Killed

__all__ = [
    "ENTRA_SOURCE",
    "GLOBAL_SETTING",
    "Dropped",
    "Failed",
    "Fault",
    "GraphSimulator",
    "Ignored",
    "Kill",
    "Killed",
    "Refused",
    "Seen",
    "Throttled",
]
