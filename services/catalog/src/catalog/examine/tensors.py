"""Tensors of endpoints: what their columns can fill, and what the package of each route has."""

from collections.abc import Iterator, Mapping, Sequence

from catalog.examine.outside import Package, Packages, PackageTensor, stated_digest
from catalog.examine.references import columns_of
from catalog.examine.routes import routes_of
from catalog.examine.subject import Finding, Findings, NotChecked, Subject, some
from catalog.fields import DType, Field, Location
from catalog.found import DefinitionError, Found
from catalog.kinds.collection import Collection
from catalog.kinds.endpoint import Endpoint, Route
from catalog.kinds.inference_service import InferenceService
from catalog.suggestions import meant

TENSORS: Location = ("spec", "model", "tensors")
OUTPUTS: Location = ("spec", "model", "outputs")


def check_tensors(subject: Subject) -> Findings:
    """Columns that a tensor's type can't hold; and tensors, outputs, models and digests against the packages at hand."""
    for found, endpoint in subject.of(Endpoint):
        yield from some(_held(found, endpoint, subject.columns))
    packages = subject.outside.packages
    if packages is None:
        yield NotChecked("tensors aren't compared with model packages: none are known here")
        return
    at_hand = {service.name: packages.at(service.storage_uri) for _, service in subject.of(InferenceService)}
    for found, service in subject.of(InferenceService):
        yield from _digest(found, service, packages)
        if at_hand[service.name] is None:
            yield NotChecked(
                f"InferenceService {service.name} isn't compared with its package: {service.storage_uri} is not here"
            )
    for found, endpoint in subject.of(Endpoint):
        for at, route in routes_of(endpoint):
            models = at_hand.get(route.inference_service)
            yield from () if models is None else _route(found, endpoint, at, route, models)
    for found, collection in subject.of(Collection):
        models = at_hand.get(collection.spec.embedding.inference_service)
        yield from () if models is None else _embedder(found, collection, models)


def _held(found: Found, endpoint: Endpoint, views: Mapping[str, Mapping[str, Field]]) -> Iterator[DefinitionError]:
    declared = {"entity": endpoint.spec.entities, "input": endpoint.spec.inputs}
    known = {**views, **{part: {field.name: field for field in fields} for part, fields in declared.items()}}
    for at, column in columns_of(endpoint):
        view, _, name = column.partition(":")
        field = known.get(view, {}).get(name)
        dtype = None if field is None else field.dtype
        tensor = endpoint.spec.model.tensors[int(at[3])]
        if dtype is DType.STRING and tensor.datatype != "BYTES":
            reason = f"{column} is a STRING and tensor {tensor.name} is {tensor.datatype}"
            yield found.wrong(at, reason, "put it into a tensor of datatype BYTES")


def _digest(found: Found, service: InferenceService, packages: Packages) -> Iterator[DefinitionError]:
    stated = stated_digest(service.storage_uri)
    known = packages.digests(stated[0]) if stated is not None else ()
    if stated is not None and known and stated[1] not in known:
        at: Location = ("spec", "predictor", "model", "storageUri")
        yield found.wrong(at, f"no package of {stated[0]} at hand has the digest {stated[1]}", f"write {known[0]}")


def _route(
    found: Found, endpoint: Endpoint, at: Location, route: Route, models: Sequence[Package]
) -> Iterator[Finding]:
    package = next((each for each in models if each.model == route.model), None)
    if package is None:
        fix = meant(route.model, [each.model for each in models], "it has")
        reason = f"InferenceService {route.inference_service} has no model {route.model}"
        yield found.wrong((*at, "model"), reason, fix)
        return
    if route.version is not None and route.version not in package.versions:
        reason = f"model {route.model} has no version {route.version}"
        yield found.wrong((*at, "version"), reason, f"it has {', '.join(package.versions)}")
    yield from _inputs(found, endpoint, package)
    yield from _outputs(found, endpoint, package)


def _inputs(found: Found, endpoint: Endpoint, package: Package) -> Iterator[DefinitionError]:
    inputs = {tensor.name: tensor for tensor in package.inputs}
    for place, tensor in enumerate(endpoint.spec.model.tensors):
        at: Location = (*TENSORS, place)
        taken = inputs.get(tensor.name)
        if taken is None:
            fix = meant(tensor.name, list(inputs), "its inputs are")
            yield found.wrong((*at, "name"), f"model {package.model} has no input {tensor.name}", fix)
            continue
        if taken.datatype != tensor.datatype:
            reason = f"input {tensor.name} of model {package.model} is {taken.datatype}, not {tensor.datatype}"
            yield found.wrong((*at, "datatype"), reason, f"write {taken.datatype}")
        if len(taken.dims) != 1 or taken.dims[0] not in (-1, len(tensor.features)):
            shape = ", ".join(map(str, taken.dims))
            reason = f"has {len(tensor.features)} columns, and model {package.model} takes [{shape}] a row"
            yield found.wrong((*at, "features"), reason, "give it as many, in the order of the training set")
    given = {tensor.name for tensor in endpoint.spec.model.tensors}
    for name, taken in inputs.items():
        # A name that is wrong is said above, and the one that it should be is then not missing as well.
        if given <= inputs.keys() and name not in given and not taken.optional:
            yield found.wrong(TENSORS, f"model {package.model} also takes the input {name}", f"add a tensor {name}")


def _outputs(found: Found, endpoint: Endpoint, package: Package) -> Iterator[DefinitionError]:
    outputs = {tensor.name: tensor for tensor in package.outputs}
    for place, output in enumerate(endpoint.spec.model.outputs):
        at: Location = (*OUTPUTS, place)
        given = outputs.get(output.tensor)
        if given is None:
            fix = meant(output.tensor, list(outputs), "its outputs are")
            yield found.wrong((*at, "tensor"), f"model {package.model} has no output {output.tensor}", fix)
        elif -1 not in given.dims and output.column >= (most := _columns(given)):
            reason = f"output {output.tensor} of model {package.model} has {most} columns, and {output.column} is none of them"
            yield found.wrong((*at, "column"), reason, f"write 0 to {most - 1}")
        elif (output.dtype is DType.STRING) is not (given.datatype == "BYTES"):
            reason = f"output {output.tensor} of model {package.model} is {given.datatype}, not {output.dtype}"
            yield found.wrong((*at, "dtype"), reason, "write a type of its kind")


def _columns(tensor: PackageTensor) -> int:
    columns = 1
    for size in tensor.dims:
        columns *= size
    return columns


def _embedder(found: Found, collection: Collection, models: Sequence[Package]) -> Iterator[DefinitionError]:
    embedding = collection.spec.embedding
    package = next((each for each in models if each.model == embedding.model), None)
    at: Location = ("spec", "embedding")
    if package is None:
        reason = f"InferenceService {embedding.inference_service} has no model {embedding.model}"
        yield found.wrong((*at, "model"), reason, meant(embedding.model, [each.model for each in models], "it has"))
    elif not any(t.name == "text" for t in package.inputs) or not any(t.name == "embedding" for t in package.outputs):
        reason = f"model {embedding.model} is no embedder"
        yield found.wrong((*at, "model"), reason, "an embedder has the input text and the output embedding")
