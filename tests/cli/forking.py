"""Commands as processes of their own that need not import everything first: each is forked from one that has.

Importing takes most of a second; a fork takes a hundredth of one. What a command is told (arguments, environment,
directory, input) and what it says (output, exit code) are its own all the same.
"""

from __future__ import annotations

import json
import os
import sys
import traceback


def serve() -> None:
    """Run one command for each line of JSON on standard input, and answer with its exit code."""
    from campaigns.cli import outbound

    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(run(outbound.main, wanted))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def run(main, wanted) -> int:  # type: ignore[no-untyped-def]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.dup2(os.open(wanted[name], os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdin = os.fdopen(0)
    os.chdir(wanted["directory"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.argv = ["outbound", *wanted["arguments"]]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - printed, as an interpreter of its own would
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve()
