"""ReadFeaturesRequest: a list of references, which an application sends again and again, is parsed once."""

from dataclasses import dataclass

from mizzen.gateway.v1 import gateway_pb2 as pb

_TAG = bytes((pb.ReadFeaturesRequest.DESCRIPTOR.fields_by_name["features"].number << 3 | 2,))
_HEAD = 64
_KNOWN = 256


@dataclass(slots=True)
class ReadFeatures:
    """A request: its references, and a message that may lack them."""

    references: tuple[str, ...]
    message: pb.ReadFeaturesRequest


class FeatureRequests:
    """Parses requests. A serialized message begins with its references, so the same list is the same bytes at the beginning."""

    def __init__(self) -> None:
        # by the first bytes, which nearly always tell one list from another: (all bytes of the list, the list)
        self._known: dict[bytes, tuple[bytes, tuple[str, ...]]] = {}

    def parse(self, data: bytes) -> ReadFeatures:
        """Raises DecodeError as FromString does."""
        known = self._known.get(data[:_HEAD])
        if known is not None and data.startswith(known[0]):
            rest = pb.ReadFeaturesRequest.FromString(data[len(known[0]) :])
            if not rest.features:
                return ReadFeatures(known[1], rest)
        message = pb.ReadFeaturesRequest.FromString(data)
        references = tuple(message.features)
        self._remember(data, references)
        return ReadFeatures(references, message)

    def _remember(self, data: bytes, references: tuple[str, ...]) -> None:
        parts: list[bytes] = []
        for reference in references:
            text = reference.encode()
            if len(text) > 127:
                return
            parts += (_TAG, bytes((len(text),)), text)
        listed = b"".join(parts)
        if len(listed) >= _HEAD and data.startswith(listed):
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[listed[:_HEAD]] = listed, references
