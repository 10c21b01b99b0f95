"""The examination: every check of every definition."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from catalog.examine.examples import check_examples
from catalog.examine.expressions import check_expressions
from catalog.examine.names import check_names
from catalog.examine.outside import Outside
from catalog.examine.references import check_references
from catalog.examine.routes import check_one_server, check_routes
from catalog.examine.stored_sql import check_stored_sql
from catalog.examine.subject import Findings, NotChecked, Subject, subject_of
from catalog.examine.tensors import check_tensors
from catalog.found import DefinitionError, Found

_CHECKS: tuple[Callable[[Subject], Findings], ...] = (
    check_names,
    check_expressions,
    check_references,
    check_examples,
    check_routes,
    check_one_server,
    check_tensors,
    check_stored_sql,
)
"""What the definitions alone tell comes first; the last ones need the outside."""


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that is wrong, in the order of files and lines; and, as sentences, the checks that were not made."""

    errors: tuple[DefinitionError, ...]
    not_checked: tuple[str, ...]


def examine(found: Iterable[Found], outside: Outside | None = None) -> Examination:
    """Examines definitions as one whole; what they refer to has to be among them. Never raises on what they hold."""
    subject = subject_of(found, outside or Outside())
    findings = [finding for check in _CHECKS for finding in check(subject)]
    errors = [finding for finding in findings if isinstance(finding, DefinitionError)]
    sentences = [finding.sentence for finding in findings if isinstance(finding, NotChecked)]
    errors.sort(key=lambda error: (error.file, error.line))
    return Examination(tuple(dict.fromkeys(errors)), tuple(dict.fromkeys(sentences)))


def examine_change(before: Sequence[Found], after: Sequence[Found], outside: Outside | None = None) -> Examination:
    """Examines the definitions `after` a change of those that stood `before`.

    What was wrong already with a definition that the change leaves alone is no error of it, and bars nobody's way.
    """
    examination = examine(after, outside)
    alone = {(each.definition.kind, each.definition.metadata.name) for each in after if each in before}
    if any((error.kind, error.name) in alone for error in examination.errors):
        known = {error for error in examine(before, outside).errors if (error.kind, error.name) in alone}
        return replace(examination, errors=tuple(error for error in examination.errors if error not in known))
    return examination
