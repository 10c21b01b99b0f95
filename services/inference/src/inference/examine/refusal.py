"""How a package is refused: in a sentence that names the file, the field and the mend."""

from __future__ import annotations

import re

from chassis.errors import InvalidArgument

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
# Names that a model has in other Triton repositories; only an operator's `allowCode` lets them in.
FOREIGN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def refusal(
    path: str, what: str, *, field: str = "", reason: str = "FORMAT_REFUSED", mend: str = ""
) -> InvalidArgument:
    """The error for ``path`` of a package; ``field`` is the place in it, such as ``instance_group[0].count``."""
    place = f"{path}, field {field}" if field else path
    text = f"{place}: {what}." + (f" {mend}." if mend else "")
    return InvalidArgument(text, reason=reason, field=field or path)


def may_run_code(error: InvalidArgument, model: str) -> InvalidArgument:
    """``error`` with the sentence that says how an operator lets the model in as it is."""
    text = (
        f"{error.message} A package holds data that is read, never code that is run. An operator who trusts this model lets it "
        f"in as it is by the setting allowCode: [{model}] (value inference.allowCode of the chart, MIZZEN_INFERENCE_ALLOW_CODE "
        "for `mizzen up` and the runtime)."
    )
    return InvalidArgument(text, reason=error.reason, field=error.field, ids={"model": model})


def checked_name(name: str) -> str:
    """``name`` itself if it may name a model or a folder of models; raises InvalidArgument otherwise."""
    if not MODEL_NAME.fullmatch(name):
        error = InvalidArgument(
            f"{name!r} is not a model name: {MODEL_NAME.pattern}.", reason="NAME_INVALID", field="name"
        )
        raise may_run_code(error, name) if FOREIGN_NAME.fullmatch(name) else error
    return name
