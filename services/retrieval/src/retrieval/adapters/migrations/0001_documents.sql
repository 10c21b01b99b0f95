-- Documents, chunks, vectors and terms. Tenant comes first in every key, and row-level security compares it with the
-- transaction's `mizzen.tenant` even for the tables' owner. Only leakproof operators (=, =any) can use an index under
-- row-level security: hence postings and labels as plain rows instead of GIN over arrays and jsonb.

create table collections (
    tenant text not null,
    collection text not null,
    documents bigint not null default 0,
    chunks bigint not null default 0,
    terms bigint not null default 0,
    primary key (tenant, collection)
);

create table documents (
    tenant text not null,
    collection text not null,
    document text collate "C" not null,
    title text not null,
    source text not null,
    media_type text not null,
    content text not null,
    digest text not null,
    fingerprint text not null,
    metadata jsonb not null,
    chunks integer not null,
    updated_at_us bigint not null,
    primary key (tenant, collection, document)
);

create table labels (
    tenant text not null,
    collection text not null,
    key text not null,
    value text not null,
    document text collate "C" not null,
    primary key (tenant, collection, key, value, document)
);
create index labels_by_document on labels (tenant, collection, document);

create sequence chunk_ids;

create table chunks (
    tenant text not null,
    collection text not null,
    chunk bigint not null,
    document text collate "C" not null,
    position integer not null,
    heading text not null,
    content text not null,
    line_start integer not null,
    line_end integer not null,
    length integer not null,
    terms integer[] not null,
    weights sparsevec not null,
    primary key (tenant, collection, chunk)
);
create unique index chunks_by_document on chunks (tenant, collection, document, position);

create table embeddings (
    tenant text not null,
    collection text not null,
    chunk bigint not null,
    document text collate "C" not null,
    embedding vector(384) not null,
    primary key (tenant, collection, chunk)
);
-- Inline: an exact scan of a narrow scope would otherwise fetch each vector from beside the table.
alter table embeddings alter column embedding set storage plain;
create index embeddings_by_document on embeddings (tenant, collection, document);
create index embeddings_near on embeddings using hnsw (embedding vector_ip_ops);

create table postings (
    tenant text not null,
    collection text not null,
    term integer not null,
    chunk bigint not null,
    primary key (tenant, collection, term, chunk)
);

create table terms (
    tenant text not null,
    collection text not null,
    term integer not null,
    frequency integer not null,
    primary key (tenant, collection, term)
);

do $$
declare
    name text;
begin
    foreach name in array array['collections', 'documents', 'labels', 'chunks', 'embeddings', 'postings', 'terms'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy own_tenant on %I using (tenant = current_setting(''mizzen.tenant'', true)) '
            'with check (tenant = current_setting(''mizzen.tenant'', true))', name);
    end loop;
end $$;
