"""The exit codes, and the sentence that goes with each."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

ERROR, USAGE, REJECTS, AUTH, DEADLINE, INTERRUPTED = 1, 2, 3, 4, 5, 130


@contextmanager
def told() -> Iterator[None]:
    """Turn errors into a sentence on standard error and an exit code."""
    try:
        yield
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("millrace: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever reads has enough
        sys.stderr.close()
        sys.exit(0)
    except (ImportError, OSError) as error:
        _tell(error, ERROR)
    except UnicodeEncodeError as error:  # an argument that is no text is found where it leaves this program
        if "surrogates" not in error.reason:
            raise
        part = error.object[max(0, error.start - 20) : error.end + 20]
        click.echo(f"millrace: not UTF-8: {part!a}; write it in UTF-8, in a UTF-8 locale", err=True)
        sys.exit(USAGE)
    except Exception as error:
        from millrace_client import errors

        if isinstance(error, errors.Unauthorized):
            _tell(error, AUTH)
        if isinstance(error, errors.DeadlineExceeded):
            _tell(error, DEADLINE)
        if isinstance(error, errors.MillraceError) or type(error).__module__.startswith("httpx2"):
            _tell(error, ERROR)
        raise


def _tell(error: Exception, code: int) -> NoReturn:
    click.echo(f"millrace: {error}", err=True)
    sys.exit(code)
