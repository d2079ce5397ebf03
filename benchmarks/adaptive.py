"""Fixed steps against adaptive halting on the demo's model and held-out puzzles: one JSON line.

python benchmarks/adaptive.py [--run RUN --data DIR]    (after `make demo`)
"""

import sys

from thinkling.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", "adaptive", "--json", *sys.argv[1:]]))
