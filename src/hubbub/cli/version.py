"""`hubbub version`."""

from __future__ import annotations

import click


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(installed_version())


def installed_version() -> str:
    """The version as installed; a checkout that runs from its sources has none."""
    from importlib import metadata

    try:
        return metadata.version("hubbub")
    except metadata.PackageNotFoundError:
        return "from source"
