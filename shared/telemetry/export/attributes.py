"""Which attributes of a span leave: those of its kind always, what people and models wrote only where it may."""

from __future__ import annotations

from collections.abc import Callable

from shared.telemetry.spans import Span, Value

Attributes = dict[str, Value]
Writes = Callable[[Span], Attributes]


class Plain:
    """The attributes as they were given, and, where `hide` is given, contents without the secrets of this process."""

    def __init__(self, hide: Callable[[str], str] | None) -> None:
        self._hide = hide

    def __call__(self, span: Span) -> Attributes:
        made: Attributes = {name: value for name, value in span.attributes.items() if value is not None}
        if self._hide is not None and span.content is not None:
            made |= {name: self._hide(text) for name, text in span.content().items()}
        return made
