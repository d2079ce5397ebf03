"""Writes a table of additions such as `407+58=`,`465`: python make_rows.py addition.csv."""

import csv
import random
import sys


def rows(count: int, digits: int, seed: int) -> list[tuple[str, str]]:
    """Different sums of two numbers of one to so many digits; of a+b and b+a only one is there."""
    draw = random.Random(seed)
    found: dict[tuple[int, int], str] = {}
    while len(found) < count:
        left, right = (draw.randrange(10 ** draw.randint(1, digits)) for _ in range(2))
        if (right, left) not in found:
            found[left, right] = str(left + right)
    return [(f"{left}+{right}=", answer) for (left, right), answer in found.items()]


if __name__ == "__main__":
    with open(sys.argv[1], "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer"])
        writer.writerows(rows(count=22_000, digits=4, seed=0))
