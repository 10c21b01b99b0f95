-- Postings carry the BM25 weight, so that lexical candidates are scored from the index alone. Stored documents have no
-- weights to take over: they are emptied, and the next ingest stores them anew.

truncate collections, documents, labels, chunks, embeddings, postings, terms;

alter table postings add column weight real not null;
alter table postings drop constraint postings_pkey;
alter table postings add primary key (tenant, collection, term, chunk) include (weight);
