"""Mistakes in the project of `bicycles`, and how each is told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """`old` of a file becomes `new`. The error's line is that of `new` or `down` lines below; `said` is reason and mend.

    also: how many more errors follow from it, as the example doesn't fit any more.
    """

    name: str
    file: str
    old: str
    new: str
    field: str
    said: str
    down: int = 0
    also: int = 0


def view(name: str, old: str, new: str, field: str, said: str, down: int = 0) -> Mistake:
    return Mistake(name, "views.yaml", old, new, field, said, down)


def endpoint(name: str, old: str, new: str, field: str, said: str, down: int = 0, also: int = 0) -> Mistake:
    return Mistake(name, "endpoint.yml", old, new, field, said, down, also)


SQL, ON_DEMAND = "spec.source.sql", "spec.onDemand[0].sql"
COLUMN, ROUTE = "spec.model.tensors[0].features", "spec.traffic.routes[0]"
MISTAKES = [
    view("SQL syntax", "FROM loans\n", "FORM loans\n", SQL, 'DuckDB: syntax error at or near "loans"'),
    view("SQL column", "docks, district\n", "doks, district\n", SQL, "there is no column doks: did you mean docks?"),
    view(
        "SQL table", "FROM loans\n", "FROM lones\n", SQL,
        "lones is no table of spec.source.tables: did you mean loans?, or register it there",
    ),
    view("two statements", "FROM loans\n", "FROM loans;\n      SELECT 1\n", SQL, "the SQL is not one SELECT: write one", -3),
    view(
        "no Parquet file", "bikes/loans.parquet", "bikes/loan.parquet", "spec.source.tables.loans",
        "there is no Parquet file at bikes/loan.parquet: did you mean bikes/loans.parquet?",
    ),
    view(
        "a table outside", "bikes/loans.parquet", "../loans.parquet", "spec.source.tables.loans",
        "../loans.parquet lies outside the offline root: name a path below it",
    ),
    view(
        "a feature that the SQL does not give", "{name: docks,", "{name: dock,", "spec.features[1].name",
        "the stored SQL gives no column dock: did you mean docks?",
    ),
    view(
        "a timestamp that the SQL does not give", "  source:\n", "  source:\n    timestampColumn: moment\n",
        "spec.source.timestampColumn", "the stored SQL gives no column moment: it gives ", 1,
    ),
    view(
        "a power", "temperature * bikes", "temperature ** bikes", ON_DEMAND,
        "on-demand SQL `**` is not in the allow-list: it has + - * /",
    ),
    view("a list", "bikes,\n", "[bikes] AS bikes,\n", "spec.features[0].dtype",
         "the stored SQL gives bikes as DECIMAL(2,1)[], which is no FLOAT32: cast it in the SQL, or declare another type", 4),
    view("a number for an instant", "{name: docks, dtype: INT64}", "{name: docks, dtype: TIMESTAMP}", "spec.features[1].dtype",
         "the stored SQL gives docks as INTEGER, which is no TIMESTAMP: cast it in the SQL, or declare another type"),
    view("a number for the timestamp", "SELECT station, event_timestamp", "SELECT station, docks AS event_timestamp",
         "spec.source.timestampColumn", "the stored SQL gives event_timestamp as INTEGER, which is no timestamp: make it one", -5),
    view("pow()", "temperature * bikes / 10", '"pow(bikes, 2)"', ON_DEMAND, "on-demand SQL `pow` is not in the allow-list: "),
    view(
        "an unknown column", "temperature * bikes", "temprature * bikes", ON_DEMAND,
        "on-demand SQL `temprature` is none of this view's features and inputs: did you mean temperature?",
    ),
    view("a text in sums", "temperature * bikes", "district + bikes", ON_DEMAND,
         "on-demand SQL has a text where a number is needed, at `district + bikes / 10`"),
    view(
        "another type", "dtype: FLOAT64, sql", "dtype: BOOL, sql", ON_DEMAND,
        "on-demand SQL gives a number, but the declared type is a boolean: change one of both",
    ),
    view("a default of another type", "default: 0", "default: none", "spec.features[0].default",
         "'none' is no FLOAT32: write a number"),
    view("a name twice", "{name: district,", "{name: bikes,", "spec.features[2].name",
         "bikes is also the name of spec.features[0]"),
    view("a key of another type", "{name: station, dtype: STRING}", "{name: station, dtype: FLOAT64}", "spec.entities[0].dtype",
         "entity station is FLOAT64: join keys are STRING, INT64 or INT32"),
    view("a misspelt field", "  ttl: 6h", "  tll: 6h", "spec.tll", "there is no such field: did you mean ttl?"),
    view("a misspelt type", "dtype: FLOAT32", "dtype: FLOAT23", "spec.features[0].dtype",
         "'FLOAT23' is none of BOOL, INT32, INT64, FLOAT32, FLOAT64, STRING, TIMESTAMP: did you mean FLOAT32?"),
    view("no duration", "ttl: 6h", "ttl: 6 hours", "spec.ttl", "'6 hours' is no duration: write a whole number and s, m, h or d"),
    view("an underscore in a name", "station-state", "station_state", "metadata.name",
         "'station_state' is not an object name: write lower case letters, digits and '-', 63 at most"),
    view("a key twice", "  ttl: 6h\n", "  ttl: 6h\n  ttl: 2d\n", "spec.ttl", "is written twice, first in line 7: remove one", 1),
    view("a kind that is none", "kind: FeatureView", "kind: FeatureViews", "kind",
         "there is no kind 'FeatureViews' in apiVersion 'mizzen.dev/v1alpha1': did you mean FeatureView?"),
    endpoint("an unknown view", "- station_state:bikes\n          -", "- station_stat:bikes\n          -", f"{COLUMN}[0]",
             "station_stat:bikes: there is no feature view station_stat: did you mean station_state?"),
    endpoint("a view by its object name", "- station_state:bikes\n          -", "- station-state:bikes\n          -",
             f"{COLUMN}[0]",
             "station-state:bikes: there is no feature view station-state: in references it is written station_state, as "),
    endpoint("an unknown feature", "station_state:comfort", "station_state:confort", f"{COLUMN}[1]",
             "station_state:confort: feature view station_state has no feature confort: did you mean comfort?"),
    endpoint("an undeclared input", "station_state:comfort", "input:temp", f"{COLUMN}[1]",
             "tensor x: input:temp is no declared input: did you mean temperature?"),
    endpoint("a key that the view needs", "{name: station, dtype: STRING}", "{name: place, dtype: STRING}", "spec.entities",
             "feature view station_state needs station, which the endpoint does not take: add {name: station, ", -1, 1),
    endpoint("an input type unlike the view's", "temperature, dtype: FLOAT64", "temperature, dtype: STRING", "spec.inputs[0].dtype",
             "temperature is STRING here and FLOAT64 in feature view station_state: write FLOAT64", 0, 2),
    endpoint("a text in FP32", "station_state:comfort", "station_state:district", f"{COLUMN}[1]",
             "station_state:district is a STRING and tensor x is FP32: put it into a tensor of datatype BYTES"),
    endpoint("an unknown input tensor", "- name: x", "- name: z", "spec.model.tensors[0].name",
             "model demand has no input z: its inputs are x"),
    endpoint("a tensor of another type", "datatype: FP32", "datatype: FP64", "spec.model.tensors[0].datatype",
             "input x of model demand is FP32, not FP64: write FP32"),
    endpoint("a feature too few", "          - station_state:comfort\n", "", COLUMN,
             "has 1 columns, and model demand takes [2] a row: give it as many", -2),
    endpoint("an unknown output tensor", 'tensor: "y"', 'tensor: "out"', "spec.model.outputs[0].tensor",
             "model demand has no output out: its outputs are y"),
    endpoint("a column that the output lacks", "column: 0", "column: 2", "spec.model.outputs[0].column",
             "output y of model demand has 2 columns, and 2 is none of them: write 0 to 1"),
    endpoint("an unknown labels.output", "labels: {output: tomorrow", "labels: {output: tomorow", "spec.monitoring.labels.output",
             "there is no output tomorow: did you mean tomorrow?"),
    endpoint("an unwatchable column", "watch:\n      - station_state:bikes", "watch:\n      - station_state:docks",
             "spec.monitoring.watch[0]", "station_state:docks is no column of its tensors and no output: did you mean ", 1),
    endpoint("an unknown InferenceService", "inferenceService: demand", "inferenceService: demnd", f"{ROUTE}.inferenceService",
             "there is no InferenceService demnd: did you mean demand?"),
    endpoint("an unknown model", "        model: demand", "        model: demo", f"{ROUTE}.model",
             "InferenceService demand has no model demo: did you mean demand?"),
    endpoint("an unknown version", "        model: demand", "        model: demand\n        version: '7'", f"{ROUTE}.version",
             "model demand has no version 7: it has 1", 1),
    endpoint("two packages of one model name", "      - inferenceService: demand\n        model: demand",
             "      - inferenceService: demand\n        model: demand\n        weight: 90\n"
             "      - inferenceService: texts\n        model: demand\n        weight: 10", "spec.traffic.routes[1].model",
             "model demand of InferenceService texts is another package than that of demand: one machine serves a model name", 4),
    endpoint("weights", "        model: demand", "        model: demand\n        weight: 90", "spec.traffic.routes",
             "routes' weights add up to 90, not 100: change them to 100 in all", -2),
    endpoint("a sticky key that is none", "  traffic:\n", "  traffic:\n    stickyKey: sation\n", "spec.traffic.stickyKey",
             "stickyKey sation is not among the entities: did you mean station?", 1),
    endpoint("an example with a value too few", "[20.5, -3.0]", "[20.5]", "spec.example.inputs.temperature",
             "has 1 values where others have 2: give one a row"),
    endpoint("an example without a row", "      station: [Square, Bridge]\n    inputs:\n      temperature: [20.5, -3.0]",
             "      station: []\n    inputs:\n      temperature: []", "spec.example",
             "has no row: give each entity one value at least", -2),
    endpoint("an example of another type", "[20.5, -3.0]", "[20.5, cold]", "spec.example.inputs.temperature[1]",
             "'cold' is no FLOAT64: write a number"),
    endpoint("an example of something else", "      station: [", "      statoin: [", "spec.example.entities.statoin",
             "statoin is not declared: did you mean station?"),
    endpoint("an example at an instant", "  example:\n", "  example:\n    options: {as_of: '2026-01-01T08:00:00Z'}\n",
             "spec.example.options.as_of", "as_of is refused where clock is server: remove it, or write clock: request", 1),
    Mistake("a digest", "serving.yaml", "models/demand/", "models/demand/0", "spec.predictor.model.storageUri",
            "no package of demand at hand has the digest 0"),
    Mistake("no scheme", "serving.yaml", "pvc://models/texts/1", "models/texts/1", "spec.predictor.model.storageUri",
            "'models/texts/1' has no scheme: write e.g. pvc://models/NAME/DIGEST"),
    Mistake("no embedder", "rules.yaml", "inferenceService: texts", "inferenceService: minilm", "spec.embedding.inferenceService",
            "there is no InferenceService minilm: there are demand, texts"),
    Mistake("an embedder that is none", "rules.yaml", "inferenceService: texts\n    model: texts",
            "inferenceService: demand\n    model: demand", "spec.embedding.model", "model demand is no embedder", 1),
    Mistake("vectors of another length", "rules.yaml", "    model: texts", "    model: texts\n    dimensions: 768",
            "spec.embedding.dimensions", "768 is no length of a stored vector: vectors have 384 dimensions", 1),
]  # fmt: skip
