"""KServe's InferenceService, read and never wrapped: only the fields Mizzen uses are typed, the rest is kept as it is."""

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import Field as Described
from pydantic.alias_generators import to_camel

from catalog.fields import Fault, Metadata, refuse

MODELS = "mizzen.dev/models"
# Triton's names: a user's own repository may have capitals, which an operator has to allow before they are served.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class _Open(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)


class ModelFormat(_Open):
    """What the model is written in."""

    name: str = Described(description="e.g. onnx, triton.")
    version: str | None = Described(default=None, description="Version of the format.")


class PredictorModel(_Open):
    """The model a predictor serves."""

    model_format: ModelFormat = Described(description="Format.")
    runtime: str | None = Described(default=None, description="ServingRuntime.")
    storage_uri: str = Described(description="Triton repository root, e.g. pvc://models/flight-delay/DIGEST.")
    protocol_version: str | None = Described(default=None, description="v2 or grpc-v2.")
    resources: dict[str, Any] = Described(default_factory=dict, description="Container resources.")


class Predictor(_Open):
    """The predictor component."""

    model: PredictorModel = Described(description="The model.")


class InferenceServiceSpec(_Open):
    """Specification as KServe defines it."""

    predictor: Predictor = Described(description="The predictor.")


class InferenceService(_Open):
    """`serving.kserve.io/v1beta1` InferenceService."""

    api_version: Literal["serving.kserve.io/v1beta1"] = Described(description="Group and version.")
    kind: Literal["InferenceService"] = Described(description="Kind.")
    metadata: Metadata = Described(description="Object metadata.")
    spec: InferenceServiceSpec = Described(description="Specification.")

    @model_validator(mode="after")
    def _names_are_names(self) -> Self:
        faults: list[Fault] = []
        if "://" not in self.storage_uri:
            reason, fix = f"{self.storage_uri!r} has no scheme", "write e.g. pvc://models/NAME/DIGEST"
            faults.append(Fault(("spec", "predictor", "model", "storageUri"), reason, fix))
        for name in self.models:
            if not MODEL_NAME.fullmatch(name):
                reason = f"metadata.annotations[{MODELS}]: {name!r} is not a model name"
                faults.append(Fault(("metadata", "annotations", MODELS), reason, f"names are {MODEL_NAME.pattern}"))
        refuse(faults)
        return self

    @property
    def models(self) -> tuple[str, ...]:
        """Models of its repository beside one of its own name, by the annotation `mizzen.dev/models`, separated by commas.

        An Endpoint's route names its model itself; what only OIP's paths call is named here.
        """
        return tuple(name for each in self.metadata.annotations.get(MODELS, "").split(",") if (name := each.strip()))

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name

    @property
    def storage_uri(self) -> str:
        """Where its Triton repository root is."""
        return self.spec.predictor.model.storage_uri
