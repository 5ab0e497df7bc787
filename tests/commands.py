"The command line, run inside of a test."
import contextlib
import io

from cancer_dl.cli import main


def cancer_dl(*words):
    "Exit code, standard output and standard error of a command."
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try: main([str(word) for word in words])
        except SystemExit as stop: code = stop.code or 0
    return code, out.getvalue(), err.getvalue()
