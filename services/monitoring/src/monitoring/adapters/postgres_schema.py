"""What monitoring keeps in PostgreSQL, labels, and how it asks for them. Its tables are in `migrations`."""

from chassis.postgres.pool import Schema

LABELS = Schema("monitoring", "the label store")

PUT = """
    WITH given AS (
        SELECT DISTINCT ON (request_id, row_index, output) request_id, row_index, output, value, event_time_us
        FROM (SELECT unnest($2::text[])::uuid AS request_id, unnest($3::int[]) AS row_index, unnest($4::text[]) AS output,
                     unnest($5::float8[]) AS value, unnest($6::bigint[]) AS event_time_us) AS sent
        ORDER BY request_id, row_index, output, event_time_us DESC
    ), written AS (
        INSERT INTO monitoring.labels AS old (tenant, request_id, row_index, output, value, event_time_us)
        SELECT $1, request_id, row_index, output, value, event_time_us FROM given
        ON CONFLICT (tenant, request_id, row_index, output) DO UPDATE
            SET value = excluded.value, event_time_us = excluded.event_time_us, stored_at = now()
            WHERE old.event_time_us <= excluded.event_time_us
        RETURNING 1
    ) SELECT count(*) FROM written
"""
WAITING = """
    SELECT DISTINCT request_id::text FROM (
        SELECT request_id FROM monitoring.labels
        WHERE tenant = $1 AND endpoint IS NULL AND look_at <= now() ORDER BY look_at LIMIT $2
    ) AS due
"""
JOIN = """
    WITH found AS (
        SELECT unnest($2::text[])::uuid AS request_id, unnest($3::int[]) AS row_index, unnest($4::text[]) AS output,
               unnest($5::text[]) AS endpoint, unnest($6::float8[]) AS predicted, unnest($7::bigint[]) AS predicted_at_us
    ), joined AS (
        UPDATE monitoring.labels AS old
        SET endpoint = found.endpoint, predicted = found.predicted, predicted_at_us = found.predicted_at_us
        FROM found
        WHERE old.tenant = $1 AND old.endpoint IS NULL AND old.request_id = found.request_id
            AND old.row_index = found.row_index AND old.output = found.output
        RETURNING 1
    ) SELECT count(*) FROM joined
"""
POSTPONE = """
    UPDATE monitoring.labels
    SET looks = looks + 1, look_at = now() + make_interval(secs => least(power(2, looks), 3600))
    WHERE tenant = $1 AND endpoint IS NULL AND request_id = ANY($2::text[]::uuid[])
"""
LABELLED = """
    SELECT floor((predicted_at_us - $5::bigint)::float8 / $4)::bigint AS place, array_agg(predicted), array_agg(value)
    FROM monitoring.labels
    WHERE tenant = $1 AND endpoint = $2 AND output = $3 GROUP BY place ORDER BY place
"""
PURGE = """
    WITH gone AS (
        DELETE FROM monitoring.labels
        WHERE tenant = $1 AND endpoint IS NULL AND stored_at < to_timestamp($2::float8 / 1e6) RETURNING 1
    ) SELECT count(*) FROM gone
"""
