"""An option that names a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

# click says the type only from 8.2 on, and cannot be asked for it before.
if TYPE_CHECKING:
    _FloatType = click.ParamType[float]
else:
    _FloatType = click.ParamType


class Moment(_FloatType):
    """Gives seconds since the epoch, in the machine's own time zone where none is named."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The moment that `value` names."""
        from gpudoctor.history.moments import moment

        try:
            return moment(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
