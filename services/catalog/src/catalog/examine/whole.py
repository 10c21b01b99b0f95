"""The examination: every check of every definition."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from catalog.examine.examples import check_examples
from catalog.examine.expressions import check_expressions
from catalog.examine.names import check_names
from catalog.examine.outside import Outside
from catalog.examine.references import check_references
from catalog.examine.routes import check_routes
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
