"""Which writer a setting names."""

from pathlib import Path

from catalog.source.named import namespace_of
from catalog.writer.directory import DirectoryWriter
from catalog.writer.port import DefinitionWriter


def writer_to(setting: Path | str) -> DefinitionWriter:
    """The writer to what MIZZEN_DEFINITIONS names: a directory, or `kubernetes:NAMESPACE`. ValueError as source_from."""
    namespace = namespace_of(setting)
    if namespace is None:
        return DirectoryWriter(Path(setting))
    from catalog.writer.kubernetes import KubernetesWriter  # noqa: PLC0415 - a laptop has no use for it

    return KubernetesWriter(namespace)
