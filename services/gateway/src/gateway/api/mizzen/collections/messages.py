"""Documents and answers between the domain and public protos. What retrieval answered is a message already, and passed on."""

from typing import Any, cast

from gateway.domain.documents import AskEvent, DocumentInput
from mizzen.retrieval.v1 import retrieval_pb2 as pb


def ask_event(event: AskEvent) -> pb.AskEvent:
    """Domain → AskEvent."""
    if isinstance(event, str):
        return pb.AskEvent(text=event)
    if isinstance(event, list):
        return pb.AskEvent(passages=pb.Passages(passages=cast(Any, event)))
    return pb.AskEvent(answer=cast(Any, event))


def document_input(d: pb.DocumentInput) -> DocumentInput:
    """DocumentInput → domain."""
    return DocumentInput(d.id, d.text, d.media_type or "text/plain", d.title, d.source, dict(d.metadata))
