"""Packages that must never be served: each damages the sound package `doubling`, and names what its refusal has to say."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

MODEL = "doubling"
Damage = Callable[[Path], object]


def in_config(text: str) -> Damage:
    """Adds `text` to config.pbtxt."""

    def damage(root: Path) -> None:
        path = root / MODEL / "config.pbtxt"
        path.write_text(f"{path.read_text()}{text}\n")

    return damage


def instead(old: str, new: str) -> Damage:
    def damage(root: Path) -> None:
        path = root / MODEL / "config.pbtxt"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return damage


def file(name: str, content: bytes = b"{}") -> Damage:
    def damage(root: Path) -> None:
        path = root / MODEL / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return damage


def swollen(mib: int) -> bytes:
    """A graph of nodes without content: two bytes of the file each, and three hundred once parsed."""
    graph = b"\x0a\x00" * (mib * 512 * 1024)
    size, length = len(graph), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return b"\x3a" + length + bytes([size]) + graph


def graph(change: Callable[[Any], object]) -> Damage:
    """Changes the parsed model.onnx."""

    def damage(root: Path) -> None:
        path = root / MODEL / "1/model.onnx"
        model = onnx.load(str(path), load_external_data=False)
        change(model)
        path.write_bytes(model.SerializeToString())

    return damage


def external(location: str, name: str | None = None, **entries: str) -> Damage:
    """A weight that lies in `location`; `name` is a file of 8 bytes that is put beside the graph."""

    def change(model: Any) -> None:
        weight = model.graph.initializer.add(name="w", data_type=1, dims=[1], data_location=1)
        for key, value in {"location": location, **entries}.items():
            weight.external_data.add(key=key, value=value)

    def damage(root: Path) -> None:
        graph(change)(root)
        if name is not None:
            (root / MODEL / "1" / name).write_bytes(bytes(8))

    return damage


def custom_operator(domain: str, name: str) -> Damage:
    def change(model: Any) -> None:
        model.graph.node[0].domain, model.graph.node[0].op_type = domain, name
        model.opset_import.add(domain=domain, version=1)

    return graph(change)


def hidden_operator(model: Any) -> None:
    """A custom operator in a branch of an If."""
    branch = onnx.helper.make_graph([onnx.helper.make_node("Run", [], ["z"], domain="evil")], "branch", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch))


def own_function(domain: str, name: str, imports: str = "", overload: str = "") -> Damage:
    """A function of the graph, and a node that would call it."""

    def change(model: Any) -> None:
        opsets = [onnx.helper.make_opsetid(each, 1 if each else 17) for each in {"", imports}]
        body = [onnx.helper.make_node("Identity", ["a"], ["b"])]
        function = onnx.helper.make_function(domain, name, ["a"], ["b"], body, opsets)
        function.overload = overload
        model.functions.append(function)
        model.opset_import.add(domain=domain, version=1)
        model.graph.node[0].CopyFrom(onnx.helper.make_node(name, ["x"], ["y"], domain=domain))

    return graph(change)


def svg(inside: str, before: str = "", attributes: str = "") -> Damage:
    text = f'{before}<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{inside}</svg>'
    return file("package/plot.svg", text.encode())


def both(*damages: Damage) -> Damage:
    def damage(root: Path) -> None:
        for each in damages:
            each(root)

    return damage


def environment() -> bytes:
    """The tar.gz with bin/activate that Triton's Python backend would run."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        content = b"touch PWNED\n"
        info = tarfile.TarInfo("bin/activate")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def plain_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return buffer.getvalue()


def old_tar() -> bytes:
    """A tar archive as Unix v7 wrote them: without the magic."""
    content = bytearray(plain_tar())
    content[257:265] = bytes(8)
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    return bytes(content)


def cpio() -> bytes:
    """A cpio archive of one script, in the newc format."""
    entries = b""
    for name, content in ((b"run.sh", b"touch PWNED\n"), (b"TRAILER!!!", b"")):
        numbers = (1, 0o100755, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        for part in (b"070701" + b"".join(b"%08X" % number for number in numbers) + name + b"\0", content):
            entries += part + bytes(-len(part) % 4)
    return entries


def weights(content: bytes, offset: int = 0, length: int | None = 4) -> Damage:
    """A float that lies in weights.bin, the content of which is `content`."""
    span = {"offset": str(offset)} | ({} if length is None else {"length": str(length)})
    return both(external("weights.bin", **span), file("1/weights.bin", content))


def typed(data_type: int, dims: list[int], content: bytes) -> Damage:
    """As `weights`, of another type and shape."""

    def change(model: Any) -> None:
        model.graph.initializer[-1].data_type = data_type
        model.graph.initializer[-1].dims[:] = dims

    return both(weights(content, 0, None), graph(change))


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.py", "import os")
    return buffer.getvalue()


def link(name: str, target: str) -> Damage:
    return lambda root: (root / MODEL / name).symlink_to(target)


def hard_link(root: Path) -> None:
    outside = root.parent / "outside.json"
    outside.write_text("{}")
    (root / MODEL / "package").mkdir(exist_ok=True)
    os.link(outside, root / MODEL / "package/inside.json")


def pipe(root: Path) -> None:
    (root / MODEL / "package").mkdir(exist_ok=True)
    os.mkfifo(root / MODEL / "package/pipe.json")


def bytes_name(root: Path) -> None:
    (root / MODEL / "1" / os.fsdecode(b"\xff\xfe.json")).write_bytes(b"{}")


def warmup(inputs: str) -> Damage:
    return in_config(f'model_warmup {{ name: "w" batch_size: 1 inputs {{ key: "x" value {{ {inputs} }} }} }}')


def parameter(key: str, value: str = "x") -> Damage:
    return in_config(f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}')


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


ELF = b"\x7fELF\x02\x01\x01" + bytes(64)
PICKLE = pickle.dumps(print)
WEIGHTS = "doubling/1/weights.bin"
DOUBLE = ('x" data_type: TYPE_FP32 dims: [ 2 ]', 'x" data_type: TYPE_FP32 dims: [ 2147483647, 2147483647 ]')

# name -> (damage, texts that the refusal contains: the file and the field)
POISONS: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "execution environment": (
        both(
            parameter("EXECUTION_ENV_PATH", "$$TRITON_MODEL_DIRECTORY/1/env.bin"),
            file("1/env.bin", environment()),
        ),
        ("doubling/config.pbtxt", "parameters[EXECUTION_ENV_PATH]"),
    ),
    "environment archive alone": (file("1/env.bin", environment()), ("doubling/1/env.bin", "gzip")),
    "op library": (
        in_config('model_operations { op_library_filename: "evil.so" }'),
        ("doubling/config.pbtxt", "model_operations", "libraries"),
    ),
    "file by compute capability": (
        in_config('cc_model_filenames { key: "cpu" value: "../../x" }'),
        ("doubling/config.pbtxt", "cc_model_filenames"),
    ),
    "pickle named bin": (file("1/weights.bin", PICKLE), ("doubling/1/weights.bin", "pickle")),
    "pickle named json": (file("package/profile.json", PICKLE), ("doubling/package/profile.json", "pickle")),
    "pickle of protocol 0": (file("1/weights.bin", b"cos\nsystem\n(S'id'\ntR."), ("doubling/1/weights.bin",)),
    "a million instances": (
        in_config("instance_group { count: 1000000 }"),
        ("doubling/config.pbtxt", "instance_group[0].count", "between 1 and 16"),
    ),
    "many groups of instances": (
        in_config("instance_group { count: 16 } instance_group { count: 16 } instance_group { count: 16 }"),
        ("doubling/config.pbtxt", "instance_group", "48"),
    ),
    "negative instances": (in_config("instance_group { count: -1 }"), ("instance_group[0].count",)),
    "symbolic link": (link("1/extra.bin", "/etc/passwd"), ("doubling/1/extra.bin", "symbolic link")),
    "symbolic link inside": (link("1/other.onnx", "model.onnx"), ("doubling/1/other.onnx", "symbolic link")),
    "linked folder": (link("2", "1"), ("doubling/2", "symbolic link")),
    "hard link": (hard_link, ("doubling/package/inside.json", "hard links")),
    "pipe": (pipe, ("doubling/package/pipe.json", "pipe")),
    "zip": (file("package/notes.txt", zipped()), ("doubling/package/notes.txt", "zip")),
    "tar": (file("package/notes.txt", plain_tar()), ("doubling/package/notes.txt", "tar")),
    "external data above": (external("../../../secret"), ("doubling/1/model.onnx", "'../../../secret'")),
    "external data absolute": (external("/etc/passwd"), ("doubling/1/model.onnx", "'/etc/passwd'")),
    "external data in memory": (
        external("*/_ORT_MEM_ADDR_/*", offset="140000000000", length="8"),
        ("doubling/1/model.onnx", "_ORT_MEM_ADDR_"),
    ),
    "external data missing": (external("w.bin"), ("doubling/1/model.onnx", "w.bin is not in the package")),
    "external data too short": (
        external("w.bin", "w.bin", offset="4", length="8"),
        ("doubling/1/model.onnx", "w.bin is shorter"),
    ),
    "external data named as code": (external("model.py", "model.py"), ("doubling/1/model.onnx", "model.py is no name")),
    "external data named as library": (
        external("libtriton_onnxruntime.so", "libtriton_onnxruntime.so"),
        ("doubling/1/model.onnx", "libtriton_onnxruntime.so is no name"),
    ),
    "external data that is a program": (
        both(external("w.bin", "w.bin"), file("1/w.bin", ELF)),
        ("doubling/1/w.bin", "program"),
    ),
    "external data that is an old tar": (weights(old_tar()), (WEIGHTS, "tensor 'w'", "10236 bytes")),
    "external data that is an old tar by its length": (
        weights(old_tar(), length=None),
        ("doubling/1/model.onnx", "tensor 'w'", "10240 bytes", "need 4"),
    ),
    "external data that is a cpio": (weights(cpio(), 104), (WEIGHTS, "104 bytes before its first tensor")),
    "external data that is a pickle of protocol 0": (
        weights(b"cos\nsystem\n(S'id'\ntR."),
        (WEIGHTS, "17 bytes after tensor 'w'"),
    ),
    "external data with a tail": (weights(bytes(4) + b"\0\0\0x"), (WEIGHTS, "4 bytes after tensor 'w' (from 4)")),
    "external data with a tail of zeros": (weights(bytes(4 + 65537)), (WEIGHTS, "65537 bytes after tensor 'w'")),
    "external data with a head": (weights(b"x" + bytes(7), 4), (WEIGHTS, "4 bytes before its first tensor")),
    "external data longer than its tensor": (
        weights(bytes(8), length=8),
        ("doubling/1/model.onnx", "tensor 'w'", "8 bytes", "need 4"),
    ),
    "external data shorter than its tensor": (
        weights(bytes(2), length=2),
        ("doubling/1/model.onnx", "tensor 'w'", "2 bytes", "need 4"),
    ),
    "external data of no length": (weights(bytes(4), length=0), ("doubling/1/model.onnx", "tensor 'w'", "need 4")),
    "external data of texts": (typed(8, [1], bytes(4)), ("doubling/1/model.onnx", "tensor 'w'", "type 8")),
    "external data of no type": (typed(0, [1], bytes(4)), ("doubling/1/model.onnx", "tensor 'w'", "type 0")),
    "external data of a negative size": (
        typed(1, [-1, -1], bytes(4)),
        ("doubling/1/model.onnx", "tensor 'w'", "up to 64 sizes"),
    ),
    "external data of many sizes": (typed(1, [1] * 65, bytes(4)), ("doubling/1/model.onnx", "up to 64 sizes")),
    "archive behind a tensor of no size": (typed(1, [0], cpio()), (WEIGHTS, "are no tensor's")),
    "data that no tensor lies in": (file("1/weights.bin", cpio()), (WEIGHTS, "nothing that backend")),
    "custom operator": (custom_operator("evil", "Run"), ("doubling/1/model.onnx", "opset_import", "'evil'")),
    "Python operator": (custom_operator("ai.onnx.contrib", "PyOp"), ("doubling/1/model.onnx", "'ai.onnx.contrib'")),
    "operator with a program": (
        custom_operator("com.microsoft", "EPContext"),
        ("doubling/1/model.onnx", "'EPContext'"),
    ),
    "function called like a runtime's operator": (
        own_function("com.microsoft", "EPContext"),
        ("doubling/1/model.onnx", "functions", "'com.microsoft'"),
    ),
    "function called like an extension's operator": (
        own_function("ai.onnx.contrib", "PyOp"),
        ("doubling/1/model.onnx", "functions", "'ai.onnx.contrib'"),
    ),
    "function of the standard's domain": (own_function("", "Relu"), ("doubling/1/model.onnx", "functions")),
    "function that imports a custom domain": (
        own_function("local", "Twice", imports="evil"),
        ("doubling/1/model.onnx", "function 'Twice', opset_import", "'evil'"),
    ),
    "another overload of a function": (
        own_function("local", "Twice", overload="z"),
        ("doubling/1/model.onnx", "'local' has no operator 'Twice'"),
    ),
    "custom operator in a branch": (graph(hidden_operator), ("doubling/1/model.onnx", "'evil'", "'Run'")),
    "warm-up from a file": (
        warmup('data_type: TYPE_FP32 dims: 2 input_data_file: "../../../etc/passwd"'),
        ("doubling/config.pbtxt", "model_warmup[0].inputs[x].input_data_file"),
    ),
    "warm-up of terabytes": (
        warmup("data_type: TYPE_FP32 dims: 2000000 dims: 2000000 zero_data: true"),
        ("doubling/config.pbtxt", "model_warmup[0].inputs[x].dims"),
    ),
    "ensemble of foreign models": (
        both(
            instead('backend: "onnxruntime"', 'platform: "ensemble"'),
            instead("dynamic_batching {}", 'ensemble_scheduling { step { model_name: "minilm" model_version: -1 } }'),
        ),
        ("doubling/config.pbtxt", "platform"),
    ),
    "steps of an ensemble": (
        instead("dynamic_batching {}", 'ensemble_scheduling { step { model_name: "minilm" } }'),
        ("doubling/config.pbtxt", "ensemble_scheduling"),
    ),
    "main file by path": (
        in_config('default_model_filename: "../../other/1/model.onnx"'),
        ("doubling/config.pbtxt", "default_model_filename"),
    ),
    "main file that is a library": (
        both(file("1/model.so", ELF), in_config('default_model_filename: "model.so"')),
        ("doubling/config.pbtxt", "default_model_filename"),
    ),
    "backend by path": (
        instead('backend: "onnxruntime"', 'backend: "../../models/evil"'),
        ("doubling/config.pbtxt", "backend"),
    ),
    "Python backend": (
        both(
            instead('backend: "onnxruntime"', 'backend: "python"'),
            file("1/model.py", b"open('PWNED', 'w')\n"),
        ),
        ("doubling/config.pbtxt", "backend", "allowCode: [doubling]"),
    ),
    "Python beside the model": (file("1/model.py", b"import os\n"), ("doubling/1/model.py", "allowCode: [doubling]")),
    "Python above the version": (file("model.py", b"import os\n"), ("doubling/model.py",)),
    "library in the version folder": (
        file("1/libtriton_onnxruntime.so", ELF),
        ("doubling/1/libtriton_onnxruntime.so", "program"),
    ),
    "library above the version": (file("libtriton_onnxruntime.so", ELF), ("doubling/libtriton_onnxruntime.so",)),
    "backend library by name": (in_config('runtime: "libevil.so"'), ("doubling/config.pbtxt", "runtime")),
    "torch script": (
        both(instead('backend: "onnxruntime"', 'platform: "pytorch_libtorch"'), file("1/model.pt", zipped())),
        ("doubling/config.pbtxt", "platform"),
    ),
    "plan": (
        both(instead('backend: "onnxruntime"', 'platform: "tensorrt_plan"'), file("1/model.plan", b"ftrt")),
        ("doubling/config.pbtxt", "platform"),
    ),
    "cache of answers": (in_config("response_cache { enable: true }"), ("doubling/config.pbtxt", "response_cache")),
    "repository agent": (
        in_config('model_repository_agents { agents { name: "checksum" } }'),
        ("doubling/config.pbtxt", "model_repository_agents"),
    ),
    "labels of metrics": (
        in_config('metric_tags { key: "tenant" value: "other" }'),
        ("doubling/config.pbtxt", "metric_tags"),
    ),
    "execution accelerator": (
        in_config(
            'optimization { execution_accelerators { gpu_execution_accelerator { name: "tensorrt" parameters '
            '{ key: "trt_engine_cache_path" value: "/" } } } }'
        ),
        ("doubling/config.pbtxt", "optimization.execution_accelerators"),
    ),
    "huge tensor": (instead(*DOUBLE), ("doubling/config.pbtxt", "input[0].dims")),
    "huge batch": (
        instead("max_batch_size: 1024", "max_batch_size: 2000000000"),
        ("doubling/config.pbtxt", "max_batch_size"),
    ),
    "endless queue delay": (
        instead("dynamic_batching {}", "dynamic_batching { max_queue_delay_microseconds: 18446744073709551615 }"),
        ("doubling/config.pbtxt", "dynamic_batching.max_queue_delay_microseconds"),
    ),
    "a million priorities": (
        instead("dynamic_batching {}", "dynamic_batching { priority_levels: 1000000 }"),
        ("doubling/config.pbtxt", "dynamic_batching.priority_levels"),
    ),
    "a thousand threads": (
        parameter("intra_op_thread_count", "100000"),
        ("doubling/config.pbtxt", "parameters[intra_op_thread_count]"),
    ),
    "unknown parameter": (parameter("ld_preload"), ("doubling/config.pbtxt", "parameters[ld_preload]", "takes")),
    "host policy": (
        in_config('instance_group { host_policy: "evil" }'),
        ("doubling/config.pbtxt", "instance_group[0].host_policy"),
    ),
    "unknown field": (in_config("evil_field: 1"), ("doubling/config.pbtxt", "evil_field")),
    "label file by path": (
        instead('"y" data_type', '"y" label_filename: "../../etc/passwd" data_type'),
        ("doubling/config.pbtxt", "output[0].label_filename"),
    ),
    "label file that is Triton's stub": (
        both(
            instead('"y" data_type', '"y" label_filename: "triton_python_backend_stub" data_type'),
            file("triton_python_backend_stub", b"#!/bin/sh\ntouch /tmp/evil\n"),
        ),
        ("doubling/config.pbtxt", "output[0].label_filename", ".txt"),
    ),
    "label file that is a program": (
        both(
            instead('"y" data_type', '"y" label_filename: "model.py" data_type'),
            file("model.py", b"import os\n"),
        ),
        ("doubling/config.pbtxt", "output[0].label_filename", ".txt"),
    ),
    "config that is not UTF-8": (
        lambda root: (root / MODEL / "config.pbtxt").write_bytes(b'name: "\xff\xfe"'),
        ("doubling/config.pbtxt", "UnicodeDecodeError"),
    ),
    "huge config": (in_config("#" * 2_000_000), ("doubling/config.pbtxt", "larger")),
    "names that differ by case": (
        both(file("package/card.md", b"x"), file("package/Card.md", b"x")),
        ("doubling/package/", "case"),
    ),
    "name with a space": (file("1/a b.json"), ("doubling/1/a b.json", "not a name")),
    "hidden file": (file("1/.hidden.json"), ("doubling/1/.hidden.json", "not a name")),
    "name of a device": (file("package/nul.json"), ("doubling/package/nul.json", "not a name")),
    "name that ends with a dot": (file("package/card.md."), ("doubling/package/card.md.", "not a name")),
    "name that is not UTF-8": (bytes_name, ("udcff", "not a name")),
    "deep folders": (file("package/a/b/c/d/e/f/g.json"), ("nested deeper",)),
    "folder that is no version": (file("warmup/data.json"), ("doubling/warmup", "versions")),
    "version that is no number": (file("01/data.json"), ("doubling/01", "versions")),
    "other format": (file("package/model.pkl", b"x"), ("doubling/package/model.pkl", "no format")),
    "file of no use": (file("1/extra.json"), ("doubling/1/extra.json", "nothing that backend onnxruntime reads")),
    "script in a plot": (
        file("package/plot.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
        ("doubling/package/plot.svg", "script"),
    ),
    "handler in a plot": (
        file("package/plot.svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
        ("doubling/package/plot.svg", "onload"),
    ),
    "plot with a stylesheet": (
        svg("", before='<?xml-stylesheet type="text/xsl" href="http://evil"?>'),
        ("doubling/package/plot.svg", "processing instructions"),
    ),
    "plot whose instructions hide a comment": (
        svg("", before='<?x <!-- ?><!DOCTYPE svg [<!ENTITY a "b">]><?x --> ?>'),
        ("doubling/package/plot.svg", "processing instructions"),
    ),
    "plot with a document type elsewhere": (
        svg("", before='<!DOCTYPE svg SYSTEM "http://evil/x.dtd">'),
        ("doubling/package/plot.svg", "DOCTYPE"),
    ),
    "plot with an escape in its style": (
        svg("", attributes="style='fill:\\75rl(a)'"),
        ("doubling/package/plot.svg", "style"),
    ),
    "plot with another function of images": (
        svg("", attributes="""style='fill:image-set("a" 1x)'"""),
        ("doubling/package/plot.svg", "style"),
    ),
    "plot with style behind an element": (
        svg("<style>a{}<title/>rect{fill:url(b)}</style>"),
        ("doubling/package/plot.svg", "style"),
    ),
    "plot with another base": (svg("", attributes='xml:base="a"'), ("doubling/package/plot.svg", "base")),
    "number without end": (file("package/evaluation.json", b'{"auc": 1e999}'), ("evaluation.json", "1e999")),
    "entities in a plot": (
        file("package/plot.svg", b'<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>'),
        ("doubling/package/plot.svg", "entities"),
    ),
    "no picture": (file("package/plot.png", b"\x89PNG\r\n\x1a\nrest"), ("doubling/package/plot.png", "PNG")),
    "keys twice": (file("package/profile.json", b'{"a": 1, "a": 2}'), ("doubling/package/profile.json", "twice")),
    "huge document": (
        file("package/card.md", b" " * (16 * 2**20 + 1)),
        ("doubling/package/card.md", "larger than 16777216"),
    ),
    "nested JSON": (
        file("package/profile.json", b"[" * 100_000 + b"]" * 100_000),
        ("doubling/package/profile.json",),
    ),
    "no number of JSON": (file("package/profile.json", b'{"a": NaN}'), ("doubling/package/profile.json", "NaN")),
    "control characters": (file("package/card.md", b"\x1b[2J"), ("doubling/package/card.md", "control")),
    "safetensors with a hole": (
        file("1/w.safetensors", safetensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8))),
        ("doubling/1/w.safetensors", "between them"),
    ),
    "safetensors with a tail": (
        file("1/w.safetensors", safetensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(9))),
        ("doubling/1/w.safetensors", "4 bytes of data, and it has 9"),
    ),
    "safetensors that is a pickle": (file("1/w.safetensors", PICKLE), ("doubling/1/w.safetensors", "pickle")),
    "tokenizer with another field": (
        both(
            instead('backend: "onnxruntime"', 'backend: "sentence_embedding"'),
            file("1/tokenizer.json", b'{"model": {"type": "BPE"}, "auto_map": "evil.py"}'),
        ),
        ("doubling/1/tokenizer.json", "auto_map"),
    ),
    "graph that swells": (
        file("1/model.onnx", swollen(4)),
        ("doubling/1/model.onnx", "parsing it takes more than 268 MiB"),
    ),
    "no graph": (file("1/model.onnx", b"\x0a\x00"), ("doubling/1/model.onnx", "no graph")),
}
