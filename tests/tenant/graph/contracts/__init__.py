"""The two contracts that people data has had: what Graph takes today, and what Microsoft's first walkthrough sends."""

from __future__ import annotations

from typing import Literal

from tests.tenant.graph.contracts.contract import Contract
from tests.tenant.graph.contracts.labels import LABELS
from tests.tenant.graph.contracts.preview import PREVIEW

ContractName = Literal["labels", "preview"]

CONTRACTS: dict[ContractName, Contract] = {"labels": LABELS, "preview": PREVIEW}

__all__ = ["CONTRACTS", "Contract", "ContractName"]
