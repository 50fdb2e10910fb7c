"""Commands about plug-ins of one's own: new."""

from __future__ import annotations

import re

import click

from spg.cli.options import command, params_of
from spg.project.command_line import workspace
from spg.project.errors import UserError

NAME = r"[a-z][a-z0-9_]*"


@command()
@click.argument("kind", type=click.Choice(["method"]))
@click.argument("name")
def new(kind: str, name: str) -> None:
    """Write a plug-in to start from: `spg new method NAME`.

    Writes NAME.py and its test into the folder `plugins` of params.yaml, and says what params.yaml
    has to say about it (docs/extending.md).
    """
    from spg.tools.new.command import PARAMS, new_method

    if not re.fullmatch(NAME, name):
        raise UserError(f"{name}: small letters, digits and underscores, e.g. my_method")
    params, _ = params_of(None)
    root = workspace().root
    taken = {*type(params).model_fields, *params.sections, *params.variants}
    for path in new_method(root / params.plugins, name, taken):
        click.echo(f"wrote {path.relative_to(root) if path.is_relative_to(root) else path}")
    click.echo(f"\nparams.yaml, beside what stands there:\n\n{PARAMS.format(name=name)}")
