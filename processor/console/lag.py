"""How far the read model is behind the topics, in records; unknown whenever nobody can tell.

Offsets count more than records: Kafka's transaction markers have offsets, too. So the end of a partition is known only
when the consumer has been there; between two ends the distance is an estimate.
"""

from collections.abc import Mapping

from processor.console.readmodel import Place


class Lag:
    """The distance of every partition; written by the follower's thread, read by requests."""

    def __init__(self) -> None:
        self.stored = 0
        self._reached: dict[Place, int] = {}
        self._behind: dict[Place, int] = {}

    def begin(self, starts: Mapping[Place, int]) -> None:
        """Says from where each partition is read."""
        self._reached = dict(starts)
        self._behind = {}

    def reach(self, place: Place, offset: int, end: int) -> None:
        """Notes that everything before `offset` is stored, where the partition ends at `end`."""
        self._reached[place] = offset
        self._behind[place] = max(end - offset, 0)

    def look(self, ends: Mapping[Place, int]) -> None:
        """Notes where the partitions end now."""
        self._behind = {place: max(end - self._reached[place], 0) for place, end in ends.items()}

    def lose(self) -> None:
        """Forgets the distances: no broker answers, so nobody knows what is committed there."""
        self._behind = {}

    @property
    def records(self) -> int | None:
        """Records that are committed and not yet in the read model; None until it is known."""
        behind = list(self._behind.values())
        return sum(behind) if behind and len(behind) == len(self._reached) else None
