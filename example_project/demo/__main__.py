"""python -m demo: prepare the demo's own virtual environment, then go on inside it."""

import sys

if sys.version_info < (3, 10):  # said before any newer syntax is read
    sys.exit("demo: Python 3.10 or newer is needed, this is %d.%d; name one: make demo PYTHON=python3.12" % sys.version_info[:2])

import os
import signal


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing has been begun: until Cleanup takes over, Ctrl-C needs no word
    from demo.cleanup import Cleanup
    from demo.environment import PYTHON, prepare
    from demo.options import check_url, parse

    parse(sys.argv[1:])
    url = os.environ.get("DATABASE_URL", "")
    cleanup = Cleanup()
    starter = os.getppid()

    def work():
        if url:
            check_url(url)
        prepare(cleanup, url)

    status = cleanup.run(work)
    if status or os.getppid() != starter:
        sys.exit(status or 1)
    cleanup.hand_over(PYTHON, ["-m", "demo.run"] + sys.argv[1:])  # noqa: RUF005 (Python 2 reads it)


main()
