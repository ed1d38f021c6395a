"""The app's server: ``python serve.py run app.py`` is ``streamlit run app.py``, and Ctrl-C ends it at once.

The end of Python waits for threads that still calculate, such as a measurement of speed, which may last a minute.
"""

import os
import sys
import traceback

import click
from streamlit.web.cli import main

INTERRUPTED = 130


def serve() -> None:
    """Serve until a signal, then end this process whatever its threads do."""
    code: object = 1
    try:
        code = main(standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    serve()
