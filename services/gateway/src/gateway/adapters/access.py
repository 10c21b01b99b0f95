"""Who is let in, as the settings of a runtime say."""

from chassis.lifecycle import Runtime
from gateway.adapters.control.part import control_keys_of
from gateway.adapters.file_keys import Anonymous, FileKeys
from gateway.adapters.part import Part
from gateway.adapters.prometheus_metrics import PrometheusMetrics
from gateway.domain.ports import Authenticator
from gateway.settings import Settings


def access_of(runtime: Runtime[Settings], seen: PrometheusMetrics) -> Part[Authenticator]:
    """Callers by the API keys of files and of control, or everybody where no file is set."""
    settings = runtime.settings
    if settings.api_keys_file is None:
        return Part(Anonymous())
    paths = [path for path in (settings.own_keys_file, settings.api_keys_file) if path is not None]
    more = control_keys_of(runtime)
    grace_s = settings.api_keys_grace_s
    keys = FileKeys(paths, settings.service_secret_file, runtime.clock, grace_s=grace_s, log=runtime.log, more=more)
    seen.api_keys(keys.count, keys.faults, keys.age_s)
    if more is None:
        return Part(keys, background=[("api keys", keys.run)], details=keys.details)
    seen.control_keys(more.count, more.age_s)
    return Part(
        keys,
        warm=[more.first],
        background=[("api keys", keys.run), ("control's api keys", more.run)],
        details=lambda: [*keys.details(), *more.details()],
    )
