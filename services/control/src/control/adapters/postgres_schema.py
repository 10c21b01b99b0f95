"""What control keeps in PostgreSQL, API keys and the audit log, and how it asks for them. Its tables are in `migrations`."""
# ruff: noqa: S608 - put together of what is written here

from chassis.postgres.pool import Schema

STORE = Schema("control", "the control plane's database")

_KEY = """
    id::text, tenant, name, scopes, hash, (extract(epoch from created_at) * 1e6)::bigint, created_by,
    (extract(epoch from expires_at) * 1e6)::bigint, (extract(epoch from revoked_at) * 1e6)::bigint, coalesce(revoked_by, '')
"""
ADD_KEY = """
    INSERT INTO control.keys (tenant, id, name, scopes, hash, created_at, created_by, expires_at)
    VALUES ($1, $2::text::uuid, $3, $4, $5, to_timestamp($6::bigint / 1e6::float8), $7, to_timestamp($8::bigint / 1e6::float8))
"""
REVOKE_KEY = """
    UPDATE control.keys SET revoked_at = to_timestamp($2::bigint / 1e6::float8), revoked_by = $3
    WHERE id = $1::text::uuid AND revoked_at IS NULL
"""
KEY = f"SELECT {_KEY} FROM control.keys WHERE id = $1::text::uuid"
KEY_BY_HASH = f"SELECT {_KEY} FROM control.keys WHERE hash = $1 AND revoked_at IS NULL"
KEYS_PAGE = f"""
    SELECT {_KEY} FROM control.keys
    WHERE ($1 = '' OR tenant = $1) AND ($2 OR revoked_at IS NULL) AND ($3 = '' OR id > nullif($3, '')::uuid)
    ORDER BY id LIMIT $4
"""
KEYS_IN_FORCE = f"SELECT {_KEY} FROM control.keys WHERE revoked_at IS NULL ORDER BY id"
# Its row is locked until the end of the transaction: whoever reads the keys of a version reads all of it.
NEW_VERSION = "UPDATE control.keys_version SET version = gen_random_uuid()"
VERSION = "SELECT version::text FROM control.keys_version"
APPEND = """
    INSERT INTO control.audit (id, step, request_id, at, tenant, subject, action, object, outcome, detail)
    VALUES ($1::text::uuid, $2, $3, to_timestamp($4::bigint / 1e6::float8), $5, $6, $7, $8, $9, $10::text::jsonb)
"""
AUDIT_PAGE = """
    SELECT id::text, request_id, at_us, tenant, subject, action, object, outcome, detail::text FROM (
        SELECT DISTINCT ON (id) *, (extract(epoch from at) * 1e6)::bigint AS at_us FROM control.audit
        WHERE ($1 = '' OR object = $1) AND ($2 = '' OR subject = $2) AND ($3 = '' OR id < nullif($3, '')::uuid)
        ORDER BY id DESC, step DESC
    ) AS last ORDER BY id DESC LIMIT $4
"""
