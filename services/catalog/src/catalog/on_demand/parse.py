"""On-demand SQL → a typed tree; whatever is not in the allow-list is refused.

A parser of its own, as every service reads every definition and a library's would cost each of them 40 MB (ADR 0004). The language
is small, and tests/unit/features/test_on_demand.py holds it against DuckDB.
"""

import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from catalog.on_demand.term import Kind, Op, Term
from catalog.on_demand.tokens import WORDS, Shape, Token, tokens
from catalog.suggestions import meant

MAX_CHARACTERS = 4000
MAX_DEPTH = 150
"""Most terms from the whole expression down to a column; what evaluates it descends as far."""
ALLOWED = (
    "+ - * /, comparisons, is null, and/or/not, case, coalesce, abs, least/greatest, floor/ceil, sin/cos, ln/exp, hour/isodow,"
    " timezone('Area/City', ts)"
)
_COMPARED = {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_FUNCTIONS = {"abs": "abs", "floor": "floor", "ceil": "ceil", "ceiling": "ceil", "sin": "sin", "cos": "cos", "ln": "ln"}
_FUNCTIONS |= {"exp": "exp"}
_CHOICES = frozenset({"coalesce", "least", "greatest"})
_CLOCKS = frozenset({"hour", "isodow"})
_KNOWN = {*_FUNCTIONS, *_CHOICES, *_CLOCKS, "timezone"}


Operand = Callable[[], Term]


class OnDemandRefused(ValueError):  # noqa: N818  # reads as what happened
    """`reason` says what is wrong, `fix` how to mend it; `at` is the character where it is, from 0."""

    def __init__(self, reason: str, fix: str = "", at: int = 0) -> None:
        super().__init__(f"{reason}: {fix}" if fix else reason)
        self.reason, self.fix, self.at = reason, fix, at


def parse_on_demand(text: str, columns: Mapping[str, Kind], wanted: Kind) -> Term:
    """The tree of `text` over `columns`, of kind `wanted`. OnDemandRefused when it can't be."""
    if len(text) > MAX_CHARACTERS:
        raise OnDemandRefused(
            f"is longer than {MAX_CHARACTERS} characters", "put part of it into the view's stored SQL"
        )
    parser = _Parser(text, columns)
    try:
        term = parser.whole()
    except RecursionError as error:
        raise OnDemandRefused("is nested too deeply", "split it into several features") from error
    if term.kind is not wanted:
        raise OnDemandRefused(f"gives a {term.kind}, but the declared type is a {wanted}", "change one of both")
    return term


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


class _Parser:
    """Precedence from weak to strong: or, and, not, is, comparisons, + -, * /, sign."""

    def __init__(self, text: str, columns: Mapping[str, Kind]) -> None:
        self._text, self._columns = text, columns
        self._tokens = list(tokens(text))
        self._place = 0

    def whole(self) -> Term:
        if self._next().shape is Shape.END:
            raise OnDemandRefused("is empty", "write one expression")
        term = self._or()
        if self._next().shape is not Shape.END:
            raise self._unknown(self._next())
        return term

    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self, *words: str) -> Token | None:
        """The next token, where it is one of these words or signs."""
        token = self._next()
        if token.shape in (Shape.WORD, Shape.SIGN) and token.text in words:
            self._place += 1
            return token
        return None

    def _need(self, word: str) -> None:
        if self._take(word) is None:
            found = f"`{self._next().text}`" if self._next().text else "the end"
            raise OnDemandRefused(f"has {found} where `{word}` belongs", "", self._next().at)

    def _term(
        self, op: Op, kind: Kind, operands: Iterable[Term] = (), word: str = "", value: float | bool | str | None = None
    ) -> Term:
        parts = tuple(operands)
        depth = 1 + max((part.depth for part in parts), default=0)
        if depth > MAX_DEPTH:
            raise OnDemandRefused("is nested too deeply", "split it into several features")
        return Term(op, kind, parts, word, value, depth)

    # -- from weak to strong -------------------------------------------------------------------------------------------

    def _or(self) -> Term:
        return self._logic("or", self._and)

    def _and(self) -> Term:
        return self._logic("and", self._not)

    def _logic(self, word: str, stronger: Operand) -> Term:
        at, left = self._next().at, stronger()
        while self._take(word):
            right_at, right = self._next().at, stronger()
            operands = (self._of(left, Kind.BOOL, at), self._of(right, Kind.BOOL, right_at))
            left = self._term(Op.LOGIC, Kind.BOOL, operands, word)
        return left

    def _not(self) -> Term:
        if self._take("not"):
            at = self._next().at
            return self._term(Op.NOT, Kind.BOOL, (self._of(self._not(), Kind.BOOL, at),))
        return self._is()

    def _is(self) -> Term:
        term = self._comparison()
        while self._take("is"):
            negated = self._take("not") is not None
            if self._take("null") is None:
                raise self._refused(self._next(), "follows `is`", "write `is null` or `is not null`")
            term = self._term(Op.IS_NULL, Kind.BOOL, (term,))
            term = self._term(Op.NOT, Kind.BOOL, (term,)) if negated else term
        return term

    def _comparison(self) -> Term:
        at, left = self._next().at, self._sum()
        sign = self._take(*_COMPARED)
        if sign is None:
            return left
        right = self._sum()
        if self._next().text in _COMPARED and self._next().shape is Shape.SIGN:
            raise self._refused(self._next(), "compares a comparison", "put parentheses around the first one")
        return self._term(Op.COMPARISON, Kind.BOOL, self._alike([left, right], at), _COMPARED[sign.text])

    def _sum(self) -> Term:
        return self._arithmetic(("+", "-"), self._product)

    def _product(self) -> Term:
        return self._arithmetic(("*", "/"), self._signed)

    def _arithmetic(self, signs: tuple[str, ...], stronger: Operand) -> Term:
        at, left = self._next().at, stronger()
        while sign := self._take(*signs):
            right_at, right = self._next().at, stronger()
            operands = (self._of(left, Kind.NUMBER, at), self._of(right, Kind.NUMBER, right_at))
            left = self._term(Op.ARITHMETIC, Kind.NUMBER, operands, sign.text)
        return left

    def _signed(self) -> Term:
        if self._take("-"):
            at = self._next().at
            return self._term(Op.NEGATIVE, Kind.NUMBER, (self._of(self._signed(), Kind.NUMBER, at),))
        return self._single()

    def _single(self) -> Term:
        token = self._next()
        if self._take("("):
            term = self._or()
            self._need(")")
            return term
        if self._take("case"):
            return self._case(token)
        if self._take("null"):
            return self._term(Op.CONSTANT, Kind.NULL)
        if token.shape is Shape.NAME:
            self._place += 1
            return self._call(token) if self._take("(") else self._column(token)
        return self._literal(token)

    def _literal(self, token: Token) -> Term:
        if self._take("true", "false"):
            return self._term(Op.CONSTANT, Kind.BOOL, value=token.text == "true")
        if token.shape in (Shape.NUMBER, Shape.TEXT):
            self._place += 1
            if token.shape is Shape.NUMBER:
                return self._term(Op.CONSTANT, Kind.NUMBER, value=float(token.text))
            return self._term(Op.CONSTANT, Kind.TEXT, value=token.text)
        raise self._unknown(token)

    # -- names ---------------------------------------------------------------------------------------------------------

    def _column(self, token: Token) -> Term:
        if self._next().text == "." or token.text not in self._columns:
            fix = meant(token.text, sorted(self._columns), "columns here are")
            raise self._refused(token, "is none of this view's features and inputs", fix)
        return self._term(Op.COLUMN, self._columns[token.text], word=token.text)

    def _call(self, name: Token) -> Term:
        if name.text not in _KNOWN:
            raise self._refused(
                name, "is not in the allow-list", meant(name.text, sorted(_KNOWN)) or f"it has {ALLOWED}"
            )
        places: list[int] = []
        operands: list[Term] = []
        while not operands or self._take(","):
            places.append(self._next().at)
            operands.append(self._or())
        self._need(")")
        if name.text in _CHOICES:
            return self._choice(name, operands)
        if name.text == "timezone":
            return self._local_time(name, operands, places)
        if len(operands) != 1:
            raise self._refused(name, "has more than one argument", "give it one")
        if name.text in _CLOCKS:
            if operands[0].kind not in (Kind.INSTANT, Kind.LOCAL):
                raise self._refused(name, f"takes a timestamp, not a {operands[0].kind}")
            return self._term(Op.CLOCK, Kind.NUMBER, operands, name.text)
        operand = self._of(operands[0], Kind.NUMBER, places[0])
        return self._term(Op.FUNCTION, Kind.NUMBER, (operand,), _FUNCTIONS[name.text])

    def _choice(self, name: Token, operands: list[Term]) -> Term:
        alike = self._alike(operands, name.at)
        kind = alike[0].kind
        if name.text != "coalesce" and kind is not Kind.NUMBER:
            raise self._refused(name, f"compares a {kind}", "give it numbers")
        return self._term(Op.CHOICE, kind, alike, name.text)

    def _local_time(self, name: Token, operands: list[Term], places: list[int]) -> Term:
        zone = operands[0].value if operands[0].op is Op.CONSTANT else None
        if len(operands) != 2 or zone not in _zones():
            raise self._refused(name, "needs the name of a time zone", "write timezone('America/New_York', ts)")
        return self._term(Op.LOCAL_TIME, Kind.LOCAL, (self._of(operands[1], Kind.INSTANT, places[1]),), str(zone))

    def _case(self, token: Token) -> Term:
        if self._next().text != "when" or self._next().shape is not Shape.WORD:
            raise self._refused(token, "is a simple case", "write `case when a = b then …`")
        conditions: list[Term] = []
        results: list[Term] = []
        while self._take("when"):
            at = self._next().at
            conditions.append(self._of(self._or(), Kind.BOOL, at))
            self._need("then")
            results.append(self._or())
        results.append(self._or() if self._take("else") else self._term(Op.CONSTANT, Kind.NULL))
        self._need("end")
        alike = self._alike(results, token.at)
        pairs = [term for pair in zip(conditions, alike, strict=False) for term in pair]
        return self._term(Op.CASE, alike[0].kind, (*pairs, alike[-1]))

    # -- types ---------------------------------------------------------------------------------------------------------

    def _of(self, term: Term, kind: Kind, at: int) -> Term:
        if term.kind is Kind.NULL:
            # A bare null takes the type its place asks for.
            return self._term(Op.CONSTANT, kind)
        if term.kind is not kind:
            raise OnDemandRefused(f"has a {term.kind} where a {kind} is needed, at `{self._rest(at)}`", "", at)
        return term

    def _alike(self, terms: list[Term], at: int) -> list[Term]:
        kinds = {term.kind for term in terms} - {Kind.NULL}
        if len(kinds) != 1:
            found = " and ".join(sorted(kinds)) or "only nulls"
            raise OnDemandRefused(f"mixes {found}, at `{self._rest(at)}`", "give all of them one type", at)
        kind = kinds.pop()
        return [self._of(term, kind, at) for term in terms]

    # -- refusals ------------------------------------------------------------------------------------------------------

    def _rest(self, at: int) -> str:
        return self._text[at : at + 40].split("\n")[0].strip()

    def _refused(self, token: Token, reason: str, fix: str = "") -> OnDemandRefused:
        return OnDemandRefused(f"`{token.text or 'the end'}` {reason}", fix, token.at)

    def _unknown(self, token: Token) -> OnDemandRefused:
        if token.shape is Shape.END:
            return OnDemandRefused("ends too early", "write one whole expression", token.at)
        if (token.shape is Shape.SIGN and token.text not in "(),") or token.text in ("between", "in", "like"):
            return self._refused(token, "is not in the allow-list", f"it has {ALLOWED}")
        belongs = "is out of place" if token.text in WORDS or token.shape is not Shape.NAME else "is one word too many"
        return self._refused(token, belongs, "write one expression")
