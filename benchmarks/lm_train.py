"""A training step of the language model beside a plain loop over Transformers' Qwen3: one JSON line.

python benchmarks/lm_train.py [--size 5m]
"""

import sys

from thinkling.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", "lm-train", "--json", *sys.argv[1:]]))
