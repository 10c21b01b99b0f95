-- Admins see all tenants, so there is no row-level security here: no request of a tenant reaches these tables.
CREATE TABLE control.keys (
    tenant text NOT NULL,
    id uuid NOT NULL UNIQUE,
    name text NOT NULL,
    scopes text[] NOT NULL,
    -- HMAC-SHA256 under the installation's service secret: the table alone opens nothing
    hash text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX keys_in_force ON control.keys (tenant, name) WHERE revoked_at IS NULL;
CREATE TABLE control.keys_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version uuid NOT NULL
);
INSERT INTO control.keys_version VALUES (true, gen_random_uuid());
CREATE TABLE control.audit (
    id uuid NOT NULL,
    -- 0 when a change begins, 1 when it has ended
    step smallint NOT NULL,
    request_id text NOT NULL,
    at timestamptz NOT NULL,
    tenant text NOT NULL,
    subject text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    outcome text NOT NULL,
    detail jsonb NOT NULL,
    PRIMARY KEY (id, step)
);
CREATE INDEX audit_of_object ON control.audit (object, id);
-- The serving role adds entries and changes none. It owns neither table nor function, so it can't take this away.
CREATE FUNCTION control.audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of the audit log are kept as they are';
END
$$;
CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON control.audit FOR EACH ROW EXECUTE FUNCTION control.audit_is_kept();
CREATE TRIGGER kept_whole BEFORE TRUNCATE ON control.audit FOR EACH STATEMENT EXECUTE FUNCTION control.audit_is_kept();
