"""How the program begins and ends: signals, streams, exit codes, and errors as one line."""

from __future__ import annotations

import os
import signal
import sys

import typer
from typer.exceptions import TyperException

from ..errors import InputError, PeerError
from . import completion
from .allocator import keep_freed_memory
from .options import NAME
from .printing import adapt_streams

__all__ = ["EXIT_CODES", "run_app"]

EXIT_CODES = """\b
Exit codes:
  0    done
  1    an error nobody expected; from evaluate: not the accuracy that the run has stored
  2    a mistake in what was typed, in a file or in a setting; one line says which
  130  interrupted by Ctrl-C
  143  ended by SIGTERM
  141  output pipe was closed"""

_TERMINATED = 128 + signal.SIGTERM


def run_app(app: typer.Typer) -> None:
    """Run the command line and leave with its exit code: mistakes of the user become one line and exit code 2."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    adapt_streams()
    keep_freed_memory()
    try:
        code = app(prog_name=NAME, standalone_mode=False)
        sys.stdout.flush()
    except (InputError, TyperException) as error:
        _fail(completion.explained(error, app) if isinstance(error, TyperException) else str(error))
    except PeerError:  # whose message that other process prints
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        _fail(f"{error.filename or 'file system'}: {error.strerror or error}")
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    print(f"{NAME}: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
