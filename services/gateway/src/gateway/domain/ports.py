"""What the domain needs of the outside."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from gateway.domain.documents import (
    AskEvent,
    CollectionInfo,
    Document,
    DocumentInput,
    Label,
    LabelsAnswer,
    Question,
    Report,
    SearchAnswer,
)
from gateway.domain.inference import InferAnswer, InferRequest, ModelInfo, StreamAnswer
from gateway.domain.model import Call, Caller, Column, FeatureRows
from gateway.domain.record import Record


class Clock(Protocol):
    """Time."""

    def now_us(self) -> int:
        """Microseconds UTC."""

    def monotonic_s(self) -> float:
        """Seconds that never go back."""


class Features(Protocol):
    """Online feature reads."""

    async def read(
        self,
        call: Call,
        references: Sequence[str],
        entities: Mapping[str, Column],
        inputs: Mapping[str, Column],
        *,
        as_of_us: int,
        default_when_down: bool = False,
    ) -> FeatureRows:
        """One column a reference, in order. Raises MizzenError."""


class Inference(Protocol):
    """Triton, whichever replicas serve it."""

    async def model(self, service: str, model: str, version: str, deadline_s: float) -> ModelInfo:
        """What the model declares; cached, read again after a failure and every few seconds."""

    async def infer(self, request: InferRequest, info: ModelInfo, deadline_s: float) -> InferAnswer:
        """One inference of the model that `info` is of; concurrent ones of a batching model travel together. Raises MizzenError."""

    def stream(self, requests: AsyncIterator[InferRequest], first: InferRequest) -> AsyncIterator[StreamAnswer]:
        """A stream of inferences of `first`'s model, answered as Triton answers. `first` goes before `requests`."""

    async def ready(self, service: str, model: str, version: str, deadline_s: float) -> bool:
        """Whether the model answers; False when its server is down."""

    async def server_ready(self, deadline_s: float) -> bool:
        """Whether any inference server answers."""


class Retrieval(Protocol):
    """Documents and search. Every method raises MizzenError."""

    async def collections(self, call: Call) -> list[CollectionInfo]:
        """All loaded collections."""

    async def search(self, call: Call, question: Question) -> SearchAnswer:
        """Passages, best first."""

    def ask(self, call: Call, question: Question) -> AsyncIterator[AskEvent]:
        """Passages, text pieces, the Answer."""

    async def upsert(self, call: Call, collection: str, documents: Sequence[DocumentInput]) -> list[Document]:
        """Stores documents whole."""

    async def get(self, call: Call, collection: str, document_id: str) -> Document:
        """One document's state."""

    async def list_documents(
        self, call: Call, collection: str, page_size: int, page_token: str
    ) -> tuple[list[Document], str]:
        """A page and the next page's token."""

    async def delete(self, call: Call, collection: str, document_id: str) -> bool:
        """False when there was no such document."""


class Monitoring(Protocol):
    """Labels in, reports out. Raises MizzenError."""

    async def put_labels(self, call: Call, labels: Sequence[Label]) -> LabelsAnswer:
        """Stores ground truth; the latest event time wins."""

    async def report(self, call: Call, endpoint: str, from_us: int, to_us: int, *, html: bool) -> Report:
        """A rendered report of event time [from, to); 0 = all there is."""


class Recorder(Protocol):
    """Takes records off the path."""

    def offer(self, record: Record) -> None:
        """Never waits and never fails; a record that finds no room is counted."""


class Authenticator(Protocol):
    """Who a credential belongs to."""

    def caller(self, credential: str | None) -> Caller:
        """Raises Unauthenticated."""


class IdempotencyStore(Protocol):
    """First answers of writes, for 24 h."""

    async def claim(self, tenant: str, key: str, digest: str) -> bytes | None:
        """None: this is the first, go on. Bytes: the first answer. AlreadyExists: other body. Aborted: still under way."""

    async def keep(self, tenant: str, key: str, digest: str, answer: bytes) -> None:
        """Keeps the first answer."""

    async def release(self, tenant: str, key: str) -> None:
        """The write failed: the key may be used again."""
