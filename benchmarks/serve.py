"""A server with 64 clients beside the same model without one: one JSON line.

python benchmarks/serve.py [--run RUN --data DIR]    (after `make demo`)
"""

import sys

from thinkling.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", "serve", "--json", *sys.argv[1:]]))
