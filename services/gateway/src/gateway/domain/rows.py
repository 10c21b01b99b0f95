"""How many rows a request has: what its first column has, within the bound; every other column has as many."""

from chassis.errors import InvalidArgument


class Rows:
    """Counts the rows of a request, bounded once, before the elements of a column are looked at."""

    __slots__ = ("_counted", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._counted: int | None = None

    def see(self, rows: int, place: str) -> None:
        """The column at `place` has so many. InvalidArgument for none, for too many, and for other than before."""
        if rows == self._counted:
            return
        if self._counted is not None:
            message = f"{place} has {rows} rows where the others have {self._counted}"
            raise InvalidArgument(message, reason="ROWS_DIFFER", field=place)
        if not rows:
            raise self._none()
        if rows > self._most:
            message = f"{place} has {rows} rows; at most {self._most} are taken"
            raise InvalidArgument(message, reason="TOO_MANY_ROWS", field=place)
        self._counted = rows

    @property
    def count(self) -> int:
        """At least one. InvalidArgument where no column was seen."""
        if self._counted is None:
            raise self._none()
        return self._counted

    def _none(self) -> InvalidArgument:
        return InvalidArgument(f"a request has 1 to {self._most} rows, not 0", reason="NO_ROWS", field="entities")
