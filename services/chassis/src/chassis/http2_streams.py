"""Which streams of a client began, and which of those that are no more may still be heard of."""

from chassis.http2_frames import PROTOCOL_ERROR, ConnectionFaultError

_MOST_EARLY = 4096
_MOST_SKIPPED = 64


class Numbers:
    """The numbers of one connection's streams. A client's are odd and grow; one it skips can never begin."""

    __slots__ = ("_early", "_skipped", "newest")

    def __init__(self) -> None:
        self.newest = 0
        # ended by us before the client had sent all, which it may not know yet; True: it was told
        self._early: dict[int, bool] = {}
        self._skipped: list[tuple[int, int]] = []

    def is_known(self, number: int) -> bool:
        """Whether it began, or can't begin any more. Raises ConnectionFaultError for one that was skipped."""
        if number > self.newest:
            return False
        self._refuse_skipped(number)
        return True

    def begin(self, number: int) -> None:
        """Raises ConnectionFaultError for a number that is not a client's."""
        if not number & 1:
            raise ConnectionFaultError(PROTOCOL_ERROR, "a client's stream has an odd number")
        if number > self.newest + 2:
            self._skipped.append((self.newest, number))
            del self._skipped[:-_MOST_SKIPPED]
        self.newest = number

    def expect(self, number: int) -> None:
        """Raises ConnectionFaultError for a stream that never began."""
        if number > self.newest or not number & 1:
            raise ConnectionFaultError(PROTOCOL_ERROR, f"stream {number} never began")

    def closed(self, number: int, *, ended: bool, told: bool = False) -> None:
        """A stream is no more; `ended` when the client had sent all of it, `told` when it learns that nothing more is wanted."""
        if ended:
            self._early.pop(number, None)
            return
        self._early.setdefault(number, told)
        if len(self._early) > _MOST_EARLY:
            del self._early[next(iter(self._early))]

    def is_early(self, number: int) -> bool:
        """Whether the client may still send of it."""
        return number in self._early

    def tell(self, number: int) -> bool:
        """Whether the client has to be told that nothing of it is wanted: once."""
        told, self._early[number] = self._early[number], True
        return not told

    def _refuse_skipped(self, number: int) -> None:
        if not number & 1 or any(low < number < high for low, high in self._skipped):
            raise ConnectionFaultError(PROTOCOL_ERROR, f"stream {number} was skipped")
