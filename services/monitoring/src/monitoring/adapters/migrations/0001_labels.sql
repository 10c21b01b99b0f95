CREATE TABLE monitoring.tenants (tenant text PRIMARY KEY);
CREATE TABLE monitoring.labels (
    tenant text NOT NULL,
    request_id uuid NOT NULL,
    row_index integer NOT NULL,
    output text NOT NULL,
    value double precision NOT NULL,
    event_time_us bigint NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    -- of the prediction, once it is found in the record log
    endpoint text,
    predicted double precision,
    predicted_at_us bigint,
    -- when a label without a prediction is looked for again
    look_at timestamptz NOT NULL DEFAULT now(),
    looks integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, request_id, row_index, output)
);
CREATE INDEX labels_waiting ON monitoring.labels (tenant, look_at) WHERE endpoint IS NULL;
CREATE INDEX labels_joined ON monitoring.labels (tenant, endpoint, output, predicted_at_us)
    INCLUDE (predicted, value) WHERE endpoint IS NOT NULL;
ALTER TABLE monitoring.labels ENABLE ROW LEVEL SECURITY;
ALTER TABLE monitoring.labels FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON monitoring.labels
    USING (tenant = current_setting('mizzen.tenant', true))
    WITH CHECK (tenant = current_setting('mizzen.tenant', true));
