"""Control's API keys in a runtime."""

from chassis.lifecycle import Runtime
from gateway.adapters.control.keys import ControlKeys
from gateway.settings import Settings


def control_keys_of(runtime: Runtime[Settings]) -> ControlKeys | None:
    """None where no control is set."""
    addresses = runtime.settings.control_addresses
    return ControlKeys(runtime.channel("control", addresses), runtime.clock, runtime.log) if addresses else None
