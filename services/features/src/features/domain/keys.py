"""Store keys of packed rows: `{f1|TENANT|KEY=VALUE…}VIEW`.

Every part that comes from outside carries its length in characters, so no value can pass for another. The braces are the hash
tag: a `}` inside a value only ends the tag earlier, at the same place for all views of that entity, which is all that counts.
"""

from collections.abc import Sequence


def entity_tags(tenant: str, names: Sequence[str], columns: Sequence[Sequence[str | int]]) -> list[str]:
    """One tag a row: names and columns of the join keys, each column one value a row (text or int, never null)."""
    head = f"{{f1|{len(tenant)}:{tenant}"
    if len(names) == 1:
        start = f"{head}|{names[0]}="
        if columns[0] and isinstance(columns[0][0], int):
            return [f"{start}#{value}}}" for value in columns[0]]
        return [f"{start}{len(value)}:{value}}}" for value in columns[0]]  # type: ignore[arg-type]  # not int: text
    order = sorted(range(len(names)), key=lambda i: names[i])
    starts = [f"|{names[i]}=" for i in order]
    return [
        head + "".join(f"{start}{_part(value)}" for start, value in zip(starts, values, strict=True)) + "}"
        for values in zip(*(columns[i] for i in order), strict=True)
    ]


def _part(value: str | int) -> str:
    return f"{len(value)}:{value}" if isinstance(value, str) else f"#{value}"


def row_keys(tags: Sequence[str], view: str) -> list[bytes]:
    """The rows' keys in one view."""
    return [(tag + view).encode() for tag in tags]
