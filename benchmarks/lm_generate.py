"""Generation for 64 sequences at once beside Transformers' `generate`: one JSON line.

python benchmarks/lm_generate.py [--size 5m]
"""

import sys

from thinkling.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", "lm-generate", "--json", *sys.argv[1:]]))
