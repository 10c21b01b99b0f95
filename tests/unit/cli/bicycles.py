"""A small project that is right: a feature view, an endpoint, a collection, two InferenceServices."""

VIEWS = """\
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: station-state}
spec:
  entities:
    - {name: station, dtype: STRING}
  ttl: 6h
  source:
    tables:
      loans: bikes/loans.parquet
    sql: |
      -- One row an hour.
      SELECT station, event_timestamp, bikes,
        docks, district
      FROM loans
  features:
    - {name: bikes, dtype: FLOAT32, default: 0}
    - {name: docks, dtype: INT64}
    - {name: district, dtype: STRING}
  inputs:
    - {name: temperature, dtype: FLOAT64}
  onDemand:
    - {name: comfort, dtype: FLOAT64, sql: temperature * bikes / 10}
"""
ENDPOINT = """\
apiVersion: mizzen.dev/v1alpha1
kind: Endpoint
metadata: {name: demand}
spec:
  entities:
    - {name: station, dtype: STRING}
  inputs:
    - {name: temperature, dtype: FLOAT64}
  model:
    tensors:
      - name: x
        datatype: FP32
        features:
          - station_state:bikes
          - station_state:comfort
    outputs:
      - {name: tomorrow, dtype: FLOAT32, tensor: "y", column: 0}
  traffic:
    routes:
      - inferenceService: demand
        model: demand
  monitoring:
    watch:
      - station_state:bikes
    labels: {output: tomorrow, kind: regression}
  example:
    entities:
      station: [Square, Bridge]
    inputs:
      temperature: [20.5, -3.0]
"""
SERVING = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: demand}
spec:
  predictor:
    model:
      modelFormat: {name: triton}
      storageUri: pvc://models/demand/DIGEST
---
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: texts}
spec:
  predictor:
    model:
      modelFormat: {name: triton}
      storageUri: pvc://models/texts/1
"""
COLLECTION = """\
apiVersion: mizzen.dev/v1alpha1
kind: Collection
metadata: {name: rules}
spec:
  embedding:
    inferenceService: texts
    model: texts
"""
FILES = {"views.yaml": VIEWS, "endpoint.yml": ENDPOINT, "serving.yaml": SERVING, "rules.yaml": COLLECTION}
COLUMNS = """'Square' AS station, TIMESTAMPTZ '2026-01-01 08:00:00+00' AS event_timestamp, 7.0 AS bikes, 12 AS docks,
'Old' AS district"""
