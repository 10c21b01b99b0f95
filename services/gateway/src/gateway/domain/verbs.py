"""All that the gateway can do, for the edges to offer."""

from dataclasses import dataclass

from gateway.domain.endpoints import Endpoints
from gateway.domain.idempotency import IdempotentWrites
from gateway.domain.infer import Inferrer
from gateway.domain.labels import Labels
from gateway.domain.ports import Clock, Inference
from gateway.domain.predict import Predictor
from gateway.domain.read import Reader
from gateway.domain.retrieve import Retriever


@dataclass(frozen=True, slots=True)
class Verbs:
    """The domain as REST and gRPC see it."""

    endpoints: Endpoints
    predictor: Predictor
    reader: Reader
    inferrer: Inferrer
    retriever: Retriever
    labels: Labels
    writes: IdempotentWrites
    inference: Inference
    clock: Clock
