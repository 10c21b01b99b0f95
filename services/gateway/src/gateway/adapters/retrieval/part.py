"""The retrieval service of a runtime."""

from chassis.lifecycle import Runtime
from gateway.adapters.envelopes import Envelopes
from gateway.adapters.part import Part
from gateway.adapters.retrieval.client import GrpcRetrieval
from gateway.domain.limits import Retry
from gateway.settings import Settings


def retrieval_of(runtime: Runtime[Settings], envelopes: Envelopes) -> Part[GrpcRetrieval]:
    """Connected when somebody first asks."""
    settings, clock = runtime.settings, runtime.clock
    channel = runtime.channel("retrieval", settings.retrieval_addresses)
    return Part(GrpcRetrieval(channel, envelopes, Retry(clock, ratio=settings.retry_ratio), clock))
