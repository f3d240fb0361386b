"""Graph's throttling of item operations."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Bucket:
    level: float
    filled_at: float


@dataclass(slots=True)
class Limits:
    """For each connection a token bucket over item operations, and a limit on how many are under way.

    https://learn.microsoft.com/graph/connecting-external-content-connectors-api-overview [likely: 25 per second and
    25 concurrent operations per connection, from pages that no longer state it; the parts of a batch count singly]
    """

    per_second: float
    burst: float
    concurrency: int
    retry_after: float
    _buckets: dict[str, _Bucket] = field(default_factory=dict)
    _open: Counter[str] = field(default_factory=Counter)

    def admit(self, connection_id: str, now: float) -> bool:
        """Take one operation out of the connection's bucket, if it holds one and not too many are under way."""
        bucket = self._buckets.setdefault(connection_id, _Bucket(self.burst, now))
        bucket.level = min(self.burst, bucket.level + (now - bucket.filled_at) * self.per_second)
        bucket.filled_at = now
        if bucket.level < 1 or self._open[connection_id] >= self.concurrency:
            return False
        bucket.level -= 1
        self._open[connection_id] += 1
        return True

    def release(self, connection_ids: list[str]) -> None:
        """Count these operations as answered."""
        self._open.subtract(connection_ids)
