"""Windows of event time: aligned, so that the same prediction always falls into the same window."""

from monitoring.domain.model import ReferenceProfile, Window

# Monday 1970-01-05: windows of a week start on Mondays, windows of a day at midnight UTC.
ORIGIN_US = 4 * 86_400_000_000


def window_at(instant_us: int, size_us: int) -> Window:
    """The window of `size_us` microseconds that holds the instant."""
    start = ORIGIN_US + (instant_us - ORIGIN_US) // size_us * size_us
    return Window(start, start + size_us)


def in_sample(window: Window, profile: ReferenceProfile) -> bool:
    """Whether any instant of the window lies in the profile's training window."""
    return window.from_us < profile.to_us and window.to_us > profile.from_us
