"""`model.depth >= 20 and verdict != 'healthy'` ─► a condition that is true or false of a row. No code is ever run.

The grammar is Python's. Allowed are names with dots, numbers, strings, true, false and null, lists, comparisons and
chains of them, `in`, `and`, `or`, `not`, and `+ - * /`. A comparison with a value that a row does not have is false,
except `== null`.
"""

# Polars has conditions in SQL, `polars.sql_expr` and `SQLContext`. They were tried (polars 2.1) with dotted names in
# quotes, and do not replace this file. `10 < depth < 20` is true of 20, because SQL reads (10 < depth) < 20. Never
# true are `a == null` and `a != null`. `depth / 0 > 1` is true. `in ['relu']` is a syntax error, and `"healthy"` in
# double quotes is a column. A column that holds 5 in one row and [5, 3] in another is no column of a data frame. And
# `SQLContext` reads files: `depth in (select x from read_csv('any.csv'))`. To translate all that needs the syntax tree
# that is walked here, and more code than walking it.

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gradlab.errors import UserError

LONGEST = 2000
"""Characters of an expression at most."""
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_WORDS = {"true": True, "false": False, "null": None, "none": None}


@dataclass(frozen=True)
class Expression:
    """A condition on a row; made by `parse`."""

    text: str
    node: ast.expr

    @cached_property
    def names(self) -> frozenset[str]:
        """The names that it asks for."""
        return frozenset(_names(self.node))

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it is true of a row.

        Args:
            values: what the row has, by name; a name that is not there is null.

        Raises:
            UserError: it compares what cannot be compared.
        """
        return bool(_value(self.node, values))

    def terms(self) -> list["Expression"]:
        """The conditions that `and` joins: the expression is true where each of them is."""
        if isinstance(self.node, ast.BoolOp) and isinstance(self.node.op, ast.And):
            return [term for node in self.node.values for term in Expression(ast.unparse(node), node).terms()]
        return [self]


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        UserError: it is not one, or says more than is understood here.
    """
    if len(text) > LONGEST:
        raise UserError(f"--where: an expression has at most {LONGEST} characters; this one has {len(text)}")
    try:
        node = ast.parse(text.strip(), mode="eval").body
        _check(node, text)
    except SyntaxError as error:
        what = f"{error.msg} at character {error.offset}" if error.offset else error.msg
        raise _wrong(f"{text!r} is not an expression: {what}") from None
    except (ValueError, RecursionError, MemoryError):
        raise _wrong(f"{text!r} is not an expression") from None
    return Expression(text, node)


def _wrong(message: str) -> UserError:
    return UserError(f"--where: {message}", fix="For example: \"model.depth >= 20 and verdict != 'healthy'\"")


def _check(node: ast.expr, text: str) -> None:
    """Refuse everything that is not allowed, before any row is looked at."""
    match node:
        case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts):
            pass
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=part):
            parts = [part]
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _ARITHMETIC:
            parts = [left, right]
        case ast.Compare(left=left, comparators=others):
            parts = [left, *others]
        case ast.Constant(value=bool() | int() | float() | str() | None):
            parts = []
        case ast.Name() | ast.Attribute() if _name(node):
            parts = []
        case _:
            quoted = ast.get_source_segment(text.strip(), node) or text
            raise _wrong(f"{quoted!r} is more than an expression may say")
    for part in parts:
        _check(part, text)


def _name(node: ast.expr) -> str:
    """A name with dots, or nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _name(node.value)):
        return f"{before}.{node.attr}"
    return ""


def _names(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        name = _name(node)
        return set() if name in _WORDS else {name}
    return {name for child in ast.iter_child_nodes(node) for name in _names(child)}


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value(part, values) for part in parts]
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_value(part, values) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return not _value(part, values)
        case ast.UnaryOp(op=sign, operand=part):
            return _calculated(operator.neg if isinstance(sign, ast.USub) else operator.pos, node, values, part)
        case ast.BinOp(left=left, op=sign, right=right):
            return _calculated(_ARITHMETIC[type(sign)], node, values, left, right)
        case ast.Compare(left=left, ops=signs, comparators=others):
            parts = [left, *others]
            return all(_holds(*pair, node, values) for pair in zip(signs, parts, parts[1:], strict=False))
        case _:
            name = _name(node)
            return _WORDS[name] if name in _WORDS else values.get(name)


def _calculated(calculate: Callable[..., Any], node: ast.expr, values: Mapping[str, Any], *parts: ast.expr) -> Any:
    numbers = [_value(part, values) for part in parts]
    if None in numbers:
        return None
    if not all(isinstance(number, int | float) for number in numbers):
        raise _wrong(f"{ast.unparse(node)} does not calculate with numbers")
    try:
        return calculate(*numbers)
    except (ZeroDivisionError, OverflowError):
        return None


def _holds(sign: ast.cmpop, one: ast.expr, other: ast.expr, node: ast.expr, values: Mapping[str, Any]) -> bool:
    a, b = _value(one, values), _value(other, values)
    by_identity = isinstance(sign, ast.Eq | ast.NotEq | ast.Is | ast.IsNot)
    if a is None or b is None:
        asks_for_null = any(isinstance(part, ast.Constant | ast.Name) and _is_null(part) for part in (one, other))
        return by_identity and asks_for_null and _COMPARISONS[type(sign)](a, b)
    if isinstance(sign, ast.In | ast.NotIn) and not isinstance(b, list | tuple):
        raise _wrong(f"{ast.unparse(node)}: what follows `in` is a list: [1, 2]")
    try:
        return bool(_COMPARISONS[type(sign)](a, b))
    except TypeError:
        raise _wrong(f"{ast.unparse(node)} compares {a!r} with {b!r}") from None


def _is_null(node: ast.expr) -> bool:
    return (isinstance(node, ast.Constant) and node.value is None) or _WORDS.get(_name(node), 0) is None
