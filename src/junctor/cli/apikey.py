"""`junctor apikey`: a new API key and its entry for the file of --callers apikeys:FILE."""

import click

EXAMPLE = """
\b
Examples:
  junctor apikey ci
  junctor apikey ci --group team-a >> keys.yaml  # the key itself is shown in the terminal
"""


@click.command(epilog=EXAMPLE)
@click.argument("name")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group of the caller; may be given several times.")
def apikey(name: str, groups: tuple[str, ...]) -> None:
    """Make an API key for the caller NAME.

    The entry for the file goes to standard output; it holds only the hash of the key. The key itself goes to standard error, once: give it
    to the caller, because nothing can show it again. Several entries may have the same name, so a key can be replaced while the old one
    still works.
    """
    from junctor.gateway.auth import CallersError
    from junctor.gateway.auth.key_file import entry_of, new_key

    key = new_key()
    try:
        entry = entry_of(key, name, groups)
    except CallersError as error:
        raise click.UsageError(str(error)) from error
    click.echo(entry, nl=False)
    click.echo(f"the key, shown only now: {key}", err=True)
