"""Which variables one text names, read as Liquid. Apart from `templates`, as the parser takes long to import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from liquid import Environment, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError

_LIQUID: Final = Environment()


def gaps(prompt: str) -> set[str]:
    """The variables without which the text would have a gap."""
    try:
        template = _LIQUID.from_string(prompt)
        found = template.analyze(include_partials=False)
    except LiquidError:
        return set()  # Vapi would say it as it stands
    context = RenderContext(template)
    said: set[str] = set()
    asked: set[str] = set()
    for node in _nodes(template.nodes, context):
        for expression in node.expressions():
            if isinstance(node, OutputNode):
                if isinstance(expression, FilteredExpression) and not _has_default(expression):
                    said |= _roots(expression.left)
            elif not isinstance(expression, FilteredExpression):
                asked |= {name for path in _paths(expression) for name in _roots(path)}
    return (said - asked) & set(found.globals)


def _nodes(nodes: Iterable[Node], context: RenderContext) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _nodes(node.children(context, include_partials=False), context)


def _has_default(expression: FilteredExpression) -> bool:
    return any(each.name == "default" for each in expression.filters or ())


def _paths(expression: Any) -> Iterator[Any]:
    yield expression
    for inner in expression.children():
        yield from _paths(inner)


def _roots(expression: Any) -> set[str]:
    return {str(expression.path[0])} if isinstance(expression, Path) else set()
