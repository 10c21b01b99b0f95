"""The SQL that finds candidates. Every statement takes the same parameters:

$1 tenant · $2 collection · $3 the question's vector or null · $4 leading terms · $5 their rarities as a sparse vector over all
terms · $6 and $7 keys and values of the filters · $8 the leading terms' rarities · $9 chunks that `nearest` gave. Scored
chunks come as chunk, dense, lexical.

Filters stay inside the statement. What is asked of each row is a sublink in parentheses, which PostgreSQL never turns into a join:
rows come in the order of the graph or of their scores, and each is looked up in `labels` until enough carry the filters.
"""
# ruff: noqa: S608 - put together from constants and ints of ours; what callers send are parameters

from dataclasses import dataclass

DRAWN = 2
"""Lexical candidates that are drawn by the leading terms for each one that is kept by its full score."""
BM25 = "-(c.weights <#> $5)"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a statement is made for: which retrievers, how many filters, `candidates` of each retriever."""

    dense: bool
    lexical: bool
    filters: int
    candidates: int

    @property
    def near(self) -> str:
        """The dense score of a candidate."""
        return "-(e.embedding <#> $3)" if self.dense else "0.0::float8"


def every_chunk(wanted: Wanted, most: int, documents: int) -> str:
    """Scores each chunk that carries the filters, exactly, where these are `most` at most and in at most as many `documents`.

    The first column, `fits`, says whether they are; nothing was scored where they are not.
    """
    limit, limit_documents = f"limit {int(most) + 1}", f"limit {int(documents) + 1}"
    # `lateral … offset 0` looks rows up one by one: the planner, who knows nothing of `most`, would read the whole table.
    lexical = BM25 if wanted.lexical else "0.0::float8"
    weights = (
        "cross join lateral (select weights from chunks c where c.tenant = $1 and c.collection = $2 "
        "and c.chunk = h.chunk offset 0) c"
        if wanted.lexical
        else ""
    )
    table = "embeddings" if wanted.dense else "chunks"
    near = "-(s.embedding <#> $3)" if wanted.dense else "0.0::float8"
    parts = (
        [f"(select * from scored order by dense desc, chunk limit {int(wanted.candidates)})"] if wanted.dense else []
    )
    if wanted.lexical:
        few = f"order by lexical desc, chunk limit {int(wanted.candidates)}"
        parts.append(f"(select * from scored where lexical > 0 {few})")
    union = " union ".join(parts) or "select * from scored where false"
    return (
        f"with carrying as materialized ({_documents(wanted.filters)} {limit_documents}), "
        f"held as materialized (select s.chunk, {near} as dense from carrying cross join lateral (select * from {table} t "
        "where t.tenant = $1 and t.collection = $2 and t.document = carrying.document offset 0) s "
        f"where (select count(*) from carrying) <= {int(documents)} {limit}), "
        f"scored as materialized (select h.chunk, h.dense, {lexical} as lexical from held h {weights} "
        f"where (select count(*) from held) <= {int(most)}), "
        f"best as ({union}) "
        f"select (select count(*) from carrying) <= {int(documents)} "
        f"and (select count(*) from held) <= {int(most)} as fits, best.* "
        f"from (select 1) one left join best on true where {_EVERY_PARAMETER}"
    )


def best_of_each(wanted: Wanted) -> str:
    """The chunks in $9 and those with the best leading terms. `led` says which have been drawn by these."""
    parts = ["select unnest($9::bigint[]), false"] if wanted.dense else []
    if wanted.lexical:
        parts.append(f"select *, true from ({_with_terms(wanted)}) l")
    union = " union all ".join(parts) or "select 0::bigint, false where false"
    return (
        f"select f.chunk, f.led, {wanted.near} as dense, {BM25} as lexical "
        f"from (select chunk, bool_or(led) as led from ({union}) u (chunk, led) group by chunk) f "
        "join chunks c on c.tenant = $1 and c.collection = $2 and c.chunk = f.chunk "
        "join embeddings e on e.tenant = $1 and e.collection = $2 and e.chunk = f.chunk "
        f"where {_EVERY_PARAMETER}"
    )


def first_look(wanted: Wanted, view: int) -> str:
    """The `view` chunks that the graph keeps in view of a question, nearest first: chunk, and whether it carries the filters."""
    carried = f"(select true where true {_carried('v', wanted.filters)})" if wanted.filters else "true"
    own = "e.tenant = $1 and e.collection = $2"
    near = f"select e.chunk, e.document from embeddings e where {own} order by e.embedding <#> $3 limit {int(view)}"
    return f"select v.chunk, {carried} as carried from ({near}) v where {_EVERY_PARAMETER}"


def nearest(wanted: Wanted, *, exact: bool) -> str:
    """The nearest chunks that carry the filters, nearest first, compared one by one (`exact`) or through the graph."""
    own = "e.tenant = $1 and e.collection = $2"
    if exact:
        among = f"join embeddings e on e.document = carrying.document where {own}"
        source = f"({_documents(wanted.filters)}) carrying {among}" if wanted.filters else f"embeddings e where {own}"
        order = "(e.embedding <#> $3) + 0"
    else:
        source = f"embeddings e where {own} {_carried('e', wanted.filters)}"
        order = "e.embedding <#> $3"
    return f"select e.chunk from {source} and {_EVERY_PARAMETER} order by {order} limit {int(wanted.candidates)}"


def _with_terms(wanted: Wanted) -> str:
    """Chunks by the weights of the leading terms, the best of them by the full score. Only the best are looked up for filters."""
    drawn = int(wanted.candidates) * DRAWN
    led = (
        "select p.chunk, sum(p.weight * wanted.rarity) as score "
        "from unnest($4::integer[], $8::real[]) as wanted (term, rarity) "
        "join postings p on p.tenant = $1 and p.collection = $2 and p.term = wanted.term group by p.chunk "
        "order by score desc, p.chunk"
    )
    # `offset 0` keeps the order: without it the planner may look up everything first.
    drawing = (
        f"select led.chunk from ({led} offset 0) led where (select true from chunks m where m.tenant = $1 "
        f"and m.collection = $2 and m.chunk = led.chunk {_carried('m', wanted.filters)}) limit {drawn}"
        if wanted.filters
        else f"{led} limit {drawn}"
    )
    return (
        f"select c.chunk from ({drawing}) drawn join chunks c on c.tenant = $1 and c.collection = $2 "
        f"and c.chunk = drawn.chunk order by c.weights <#> $5, c.chunk limit {int(wanted.candidates)}"
    )


def _carried(alias: str, filters: int) -> str:
    """That the alias's document carries each filter."""
    return " ".join(
        f"and (select true from labels l where l.tenant = $1 and l.collection = $2 and l.key = ($6::text[])[{n}] "
        f"and l.value = ($7::text[])[{n}] and l.document = {alias}.document)"
        for n in range(1, filters + 1)
    )


def _documents(filters: int) -> str:
    """The documents that carry all filters."""
    own = (
        "l{n}.tenant = $1 and l{n}.collection = $2 and l{n}.key = ($6::text[])[{n}] and l{n}.value = ($7::text[])[{n}]"
    )
    more = [f"join labels l{n} on l{n}.document = l1.document and {own.format(n=n)}" for n in range(2, filters + 1)]
    return f"select l1.document from labels l1 {' '.join(more)} where {own.format(n=1)}"


# Names every parameter with its type, whichever parts of a statement are in use.
_EVERY_PARAMETER = (
    "($3::vector is null or true) and ($4::integer[] is null or true) and ($5::sparsevec is null or true) "
    "and ($6::text[] is null or true) and ($7::text[] is null or true) and ($8::real[] is null or true) "
    "and ($9::bigint[] is null or true)"
)
