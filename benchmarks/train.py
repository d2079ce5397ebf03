"""Training speed of the published sizes: one JSON line.

python benchmarks/train.py
"""

import sys

from thinkling.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", "train", "--json", *sys.argv[1:]]))
