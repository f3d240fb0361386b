"""Where long work runs, so that the lease is renewed meanwhile (design §3.12: nothing blocks the loop for 5 s)."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

BIG: Final = 1_000_000
"""Bytes from which work may take long enough to matter. Below, a thread would cost more than it gives."""


async def offload(size: int, work: Callable[[], T]) -> T:
    """Do ``work`` on ``size`` bytes: in a thread when they are many, else at once."""
    return await asyncio.to_thread(_in_one_go, work) if size >= BIG else work()


def _in_one_go(work: Callable[[], T]) -> T:
    """Do work that makes many objects and no cycles: looking for these again and again would take a quarter of it."""
    if not gc.isenabled():
        return work()
    gc.disable()
    try:
        return work()
    finally:
        gc.enable()
