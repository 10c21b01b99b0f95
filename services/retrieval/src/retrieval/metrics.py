"""The metrics of retrieval."""

from chassis.telemetry.metrics import CounterSpec, HistogramSpec

STAGE_SECONDS = HistogramSpec("mizzen_retrieval_stage_seconds", "Time of a stage of a search or an answer.", ("stage",))
DEGRADED = CounterSpec("mizzen_retrieval_degraded_total", "Answers given without a declared part, by verb.", ("verb",))
ANSWERS = CounterSpec(
    "mizzen_retrieval_answers_total", "Questions, by whether the documents hold an answer.", ("result",)
)
DOCUMENTS_UPSERTED = CounterSpec(
    "mizzen_retrieval_documents_upserted_total", "Documents that an upsert was acknowledged for."
)
