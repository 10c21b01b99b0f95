"""ControlService over gRPC: thin."""

from typing import Any

from control.domain.keys import KeyRing
from mizzen.control.v1 import control_pb2 as pb
from mizzen.control.v1 import control_pb2_grpc

SERVICE = "mizzen.control.v1.ControlService"


class ControlServicer(control_pb2_grpc.ControlServiceServicer):
    """API keys, for those who authenticate."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def ReadKeys(self, request: pb.ReadKeysRequest, context: Any) -> pb.ReadKeysResponse:
        """The keys in force, unless the caller has them."""
        known = await self._keys.known(request.version)
        answer = pb.ReadKeysResponse(version=known.version, unchanged=known.keys is None)
        for key in known.keys or ():
            answer.keys.add(
                name=key.name, tenant=key.tenant, scopes=key.scopes, hash=key.hash, expires_us=key.expires_us or 0
            )
        return answer
