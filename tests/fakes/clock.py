"""Time that moves when a test says so."""

from dataclasses import dataclass


@dataclass
class FakeClock:
    """A Clock whose two hands are moved together."""

    us: int = 1_373_328_000_000_000  # 2013-07-09T00:00:00Z
    monotonic: float = 1000.0

    def now_us(self) -> int:
        return self.us

    def monotonic_s(self) -> float:
        return self.monotonic

    def advance(self, seconds: float) -> None:
        """Moves both hands by `seconds`."""
        self.us += round(seconds * 1_000_000)
        self.monotonic += seconds
