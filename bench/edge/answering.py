"""python -m bench.edge.answering KIND: a public gRPC port with one method, whose answer is as long as its request says.

What the platform's own methods cannot be made to do: answers of 63 MB. Prints the port.
"""

import asyncio
import sys
from typing import Any

import grpc
import uvloop
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value

from chassis.public.grpc import PublicGrpc, make_public_server
from chassis.rpc.server import Kind, Registration, Surroundings

NAME = "mizzen.bench.Answering"
ANSWER = f"/{NAME}/Answer"


class Answering:
    """The servicer."""

    async def answer(self, request: Int64Value, _context: Any) -> BytesValue:
        """So many bytes."""
        return BytesValue(value=bytes(request.value))


def _add(servicer: Answering, server: Any) -> None:
    handler = grpc.unary_unary_rpc_method_handler(servicer.answer, Int64Value.FromString, BytesValue.SerializeToString)
    server.add_registered_method_handlers(NAME, {"Answer": handler})


async def main(kind: Kind) -> None:
    """Serves until it is killed."""
    registration = Registration(_add, Answering(), NAME)
    server = make_public_server(PublicGrpc(kind), "127.0.0.1:0", [registration], Surroundings())
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main("native" if sys.argv[1] == "native" else "grpcio"))
