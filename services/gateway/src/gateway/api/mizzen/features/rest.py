"""/v1/features:read."""

from gateway.api.http.request import Http
from gateway.api.mizzen.endpoints.json import columns, read_parts
from gateway.api.mizzen.features.json import features_json
from gateway.domain.endpoints import Endpoints
from gateway.domain.read import MAX_ROWS, Reader
from gateway.domain.rows import Rows


class FeaturePaths:
    """Handlers."""

    def __init__(self, endpoints: Endpoints, reader: Reader) -> None:
        self._endpoints = endpoints
        self._reader = reader

    async def read(self, http: Http) -> None:
        """Read features of entities, with their statuses and event timestamps."""
        call = http.call
        references, entities_in, inputs_in = read_parts(await http.json())
        entity_fields, input_fields = self._endpoints.fields_of(references)
        rows = Rows(MAX_ROWS)
        entities = columns(entities_in, entity_fields, "entities", rows)
        inputs = columns(inputs_in, input_fields, "inputs", rows, nullable=True)
        answer = await http.while_there(self._reader.read(call, references, entities, inputs, rows))
        head = b'{"request_id":"' + answer.request_id.encode() + b'","features":'
        await http.answer(head + features_json(answer.features) + b"}")
