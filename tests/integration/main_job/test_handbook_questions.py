"""Answers from the project's own documents: the right document among the citations, or an honest no."""

import httpx2
import pytest

from tests.stack import Stack

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]

# Question → a document that answers it.
QUESTIONS = {
    "Which port does the gateway serve REST on?": "docs/architecture.md",
    "Why are words ranked by BM25 instead of tsvector?": "docs/adr/0006-bm25-not-tsvector.md",
    "Where is the null bitmap in a packed row?": "docs/adr/0003-packed-rows-in-the-online-store.md",
    "What is a schema hash?": "docs/glossary.md",
    "Why does mizzen up not use Docker containers?": "docs/adr/0009-supervisor-instead-of-docker-compose.md",
    "How long is a signed identity valid?": "docs/adr/0010-signed-identity.md",
    "Which SQL functions are refused in on-demand features?": "docs/adr/0004-on-demand-features-in-sql.md",
    "What happens to records when the reader of the stream lags behind?": "docs/adr/0012-records-in-redis-streams-and-parquet.md",
    "Which gRPC server does chassis use and how is it switched?": "docs/adr/0008-native-grpc-server-behind-a-switch.md",
    "Does asking questions need an LLM?": "docs/adr/0007-extractive-answers-by-default.md",
}
FOREIGN = ("What is the boiling point of tungsten?", "Who won the football world cup in 1998?")


async def ask(client: httpx2.AsyncClient, question: str) -> dict[str, object]:
    response = await client.post("/v1/collections/handbook:ask", json={"question": question})
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


async def test_eight_of_ten_questions_cite_the_right_document(stack: Stack) -> None:
    missed = []
    async with httpx2.AsyncClient(base_url=stack.rest, timeout=30) as client:
        for question, document in QUESTIONS.items():
            answer = await ask(client, question)
            sources = [citation["source"] for citation in answer["citations"]]  # type: ignore[attr-defined]
            if document not in sources:
                missed.append((question, sources))
    assert len(missed) <= 2, missed


@pytest.mark.parametrize("question", FOREIGN)
async def test_a_foreign_question_is_not_answered(stack: Stack, question: str) -> None:
    async with httpx2.AsyncClient(base_url=stack.rest, timeout=30) as client:
        answer = await ask(client, question)
    assert answer["answerable"] is False
    assert answer["citations"] == []
