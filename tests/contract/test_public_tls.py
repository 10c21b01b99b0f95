"""TLS and the greatest age of connections on the public gRPC port: grpcio has them, whatever was asked for."""

import datetime
import ipaddress
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf.wrappers_pb2 import StringValue
from grpc import aio

from chassis.public.grpc import PublicGrpc, Tls, make_public_server
from chassis.rpc.server import Kind, Registration, Server, Surroundings
from tests.fakes.echo import NAME, SAY, Echo, add_echo

Key = ec.EllipticCurvePrivateKey


class Authority:
    """Signs certificates; PEM files of each lie in `directory`."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(self.name, self.key.public_key(), lambda builder: builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ))  # fmt: skip
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(self.pem)

    def issue(self, name: str) -> tuple[Path, Path]:
        """(certificate, key) for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = self._signed(
            subject, key.public_key(), lambda builder: builder.add_extension(names, critical=False)
        )
        files = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        extended: Callable[[x509.CertificateBuilder], x509.CertificateBuilder],
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        return extended(builder).sign(self.key, hashes.SHA256())


async def started(public: PublicGrpc) -> Server:
    server = make_public_server(public, "127.0.0.1:0", [Registration(add_echo, Echo(), NAME)], Surroundings())
    await server.start()
    return server


async def say(server: Server, ca: bytes, client: tuple[Path, Path] | None = None) -> str:
    certificate, key = (None, None) if client is None else (client[0].read_bytes(), client[1].read_bytes())
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with aio.secure_channel(f"127.0.0.1:{server.port}", credentials, options=options) as channel:
        call = channel.unary_unary(SAY, StringValue.SerializeToString, StringValue.FromString)
        answer: StringValue = await call(StringValue(value="hello"), timeout=10)
        return answer.value


@pytest.mark.parametrize("kind", ["grpcio", "native"])
async def test_tls_is_served_whatever_server_was_asked_for(kind: Kind, tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    server = await started(PublicGrpc(kind, tls=Tls(*ours.issue("gateway"))))
    try:
        assert await say(server, ours.pem) == "hello"
        with pytest.raises(aio.AioRpcError):
            await say(server, theirs.pem)
        async with aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            with pytest.raises(aio.AioRpcError):
                await channel.unary_unary(SAY)(b"", timeout=2)
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    "public",
    [PublicGrpc("native", compressed=lambda _service: True), PublicGrpc("native", max_connection_age_s=60)],
    ids=["compressed answers", "a greatest age"],
)
async def test_what_only_grpcio_has_is_served_by_grpcio(public: PublicGrpc) -> None:
    server = await started(public)
    try:
        async with aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = channel.unary_unary(SAY, StringValue.SerializeToString, StringValue.FromString)
            # native reads gzip alone
            answer: StringValue = await call(
                StringValue(value="hello" * 100), compression=grpc.Compression.Deflate, timeout=10
            )
            assert answer.value == "hello" * 100
    finally:
        await server.stop(0)


async def test_only_clients_with_a_certificate_of_ours_come_in_where_that_is_asked(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    server = await started(PublicGrpc(tls=Tls(*ours.issue("gateway"), client_ca=ours.file)))
    try:
        assert await say(server, ours.pem, ours.issue("friend")) == "hello"
        for stranger in (None, theirs.issue("stranger")):
            with pytest.raises(aio.AioRpcError):
                await say(server, ours.pem, stranger)
    finally:
        await server.stop(0)


async def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
    server = await started(PublicGrpc(tls=Tls(*first.issue("gateway"))))
    try:
        assert await say(server, first.pem) == "hello"
        second.issue("gateway")  # over the same files
        assert await say(server, second.pem) == "hello"
        (tmp_path / "gateway.key").unlink()
        assert await say(server, second.pem) == "hello"
    finally:
        await server.stop(0)


async def test_files_that_cannot_be_used_are_named_at_the_start(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    certificate, _ = ours.issue("gateway")
    _, other = ours.issue("other")
    with pytest.raises(ValueError, match=r"gateway\.crt .* cannot be used for TLS"):
        await started(PublicGrpc(tls=Tls(certificate, other)))
    with pytest.raises(OSError, match=r"missing\.key"):
        await started(PublicGrpc(tls=Tls(certificate, tmp_path / "missing.key")))


async def test_a_connection_that_is_old_is_asked_to_come_again(tmp_path: Path) -> None:
    server = await started(PublicGrpc("native", max_connection_age_s=0.2))
    try:
        async with aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = channel.unary_unary(SAY, StringValue.SerializeToString, StringValue.FromString)
            await call(StringValue(value="x"), timeout=10)
            assert channel.get_state() is grpc.ChannelConnectivity.READY
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
            assert (await call(StringValue(value="again"), timeout=10)).value == "again"
    finally:
        await server.stop(0)
