"""A small corpus with copies, near-copies, pieces of a benchmark and gibberish at known places."""

import gzip
import json
import random
import re
from pathlib import Path

_NAMES = re.findall(
    r"\w+",
    "river mountain teacher garden winter letter question bridge village story window journey music market answer "
    "forest harbour kitchen science weather history machine number summer friend castle painter engine island",
)
_GLUE = re.findall(r"\w+", "the of and to that with have be in from by under after")


def prose(rng: random.Random, words: int = 120) -> str:
    """Sentences that read like English to a rule and to nobody else."""
    sentences: list[str] = []
    while sum(len(sentence.split()) for sentence in sentences) < words:
        count = rng.randint(8, 16)
        row = [
            rng.choice(_GLUE) if place % 2 else rng.choice(_NAMES) + rng.choice(["", "s", "ing", "ed"])
            for place in range(count)
        ]
        sentences.append(" ".join(row).capitalize() + ".")
    return " ".join(sentences)


def changed(text: str, rng: random.Random, share: float) -> str:
    """A text with a share of its words exchanged, at random places."""
    words = text.split()
    for place in rng.sample(range(len(words)), round(share * len(words))):
        words[place] = "exchanged" + str(rng.randrange(10**6))
    return " ".join(words)


def jaccard(first: str, second: str, ngram: int = 3) -> float:
    """Of the sets of words in a row, the plain way."""
    sets = []
    for text in (first, second):
        words = text.lower().replace(".", " .").replace(".", "").split()
        sets.append({tuple(words[place : place + ngram]) for place in range(len(words) - ngram + 1)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def write_corpus(folder: Path) -> dict[str, list[str]]:
    """Three files; returns the texts by what shall become of them."""
    rng = random.Random(0)
    good = [prose(rng) for _ in range(30)]
    near = [good[n] + " One more sentence stands at the end." for n in (3, 21)]
    related = [changed(good[n], rng, 0.15) for n in (4, 22)]
    copies = [good[5], good[6]]
    gibberish = ["xq zk 9# @@ !! %% " * 30, "@@@@ #### " * 40, "too short to be kept"]
    asked = prose(rng, 40)
    leaked = prose(rng) + " " + asked.upper() + " " + prose(rng)
    folder.mkdir(parents=True)
    _jsonl(folder / "a.jsonl", [*good[:15], near[0], gibberish[0], related[0]])
    _jsonl(folder / "b.jsonl.gz", [copies[0], *good[15:], near[1], leaked, related[1]])
    (folder / "c.txt").write_text("\n\n".join([copies[1], *gibberish[1:]]) + "\n")
    rows = [{"question": "How much is 1 + 1?", "answer": "2"}, {"question": asked, "answer": "4"}]
    folder.with_name("benchmark.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "good": good,
        "near": near,
        "related": related,
        "copies": copies,
        "gibberish": gibberish,
        "leaked": [leaked],
    }


def _jsonl(path: Path, texts: list[str]) -> None:
    data = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
