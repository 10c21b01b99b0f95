"""Which source a setting names."""

import re
from pathlib import Path

from catalog.fields import NAME_PATTERN
from catalog.kinds.table import owned_by
from catalog.source.directory import DefinitionSource, DirectorySource


def source_from(setting: Path | str, *, room: str = "") -> DefinitionSource:
    """The source that MIZZEN_DEFINITIONS names: a directory, or `kubernetes:NAMESPACE`.

    room: whose kinds get their condition `Accepted` written, where there is a place for it. ValueError when the namespace is none.
    """
    namespace = namespace_of(setting)
    if namespace is None:
        return DirectorySource(Path(setting))
    from catalog.source.kubernetes import KubernetesSource  # noqa: PLC0415 - a laptop has no use for it

    return KubernetesSource(namespace, report_status=owned_by(room))


def namespace_of(setting: Path | str) -> str | None:
    """The namespace of `kubernetes:NAMESPACE`; None for a directory. ValueError when the namespace is none."""
    scheme, separator, namespace = str(setting).partition(":")
    if scheme != "kubernetes" or not separator:
        return None
    if not re.fullmatch(NAME_PATTERN, namespace):
        raise ValueError(f"{setting}: name a namespace, e.g. kubernetes:default")
    return namespace
