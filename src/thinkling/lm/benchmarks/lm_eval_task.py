r"""The same questions and the same judge as a task for lm-eval (EleutherAI's harness), to check a score from outside.

    thinkling eval RUN --task gsm8k --lm-eval tasks/
    thinkling export hf RUN --out exported/
    lm_eval --model hf --model_args pretrained=exported/ --apply_chat_template \
        --include_path tasks/ --tasks thinkling_gsm8k

lm-eval renders the prompt with the exported chat template and generates with Transformers; the text comes back here to
be judged. Greedy answers are the same but for rounding.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from thinkling.artifacts.run_folder import cannot_write, write_text
from thinkling.data.chat_tokenizer import END_THINK, THINK
from thinkling.errors import InputError
from thinkling.lm.benchmarks.item import Answer, Benchmark, BenchmarkItem
from thinkling.lm.benchmarks.registry import get_benchmark
from thinkling.lm.language_model import AnswerSettings

_SCORING = '''"""What lm-eval calls with a question and the model's text."""

from thinkling.lm.benchmarks.lm_eval_task import process_results  # noqa: F401  # lm-eval looks it up here
'''


def write_lm_eval_task(
    folder: Path, benchmark: Benchmark, items: Sequence[BenchmarkItem], settings: AnswerSettings
) -> str:
    """Write a folder for lm-eval's --include_path.

    Args:
        folder: where.
        benchmark: who judges.
        items: the questions.
        settings: of these, how many tokens there may be and how they are drawn.

    Returns:
        The name of the task.

    Raises:
        InputError: a question that JSON cannot hold.
        ThinklingError: the disk refuses.
    """
    name = f"thinkling_{benchmark.name.replace(':', '_')}"
    questions = Path(folder).resolve() / f"{name}.jsonl"
    sampling = settings.sampling
    drawn: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(questions)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["<|im_end|>"], "max_gen_toks": settings.max_tokens, **drawn},
        "metric_list": [
            {"metric": each, "aggregation": "mean", "higher_is_better": True}
            for each in ("strict_score", "flexible_score")
        ],
    }
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_text(questions, "".join(_line(benchmark, item) for item in items))
        write_text(Path(folder) / f"{name}_scoring.py", _SCORING)
        # JSON is YAML; only the tag that names the function is not.
        call = f"process_results: !function {name}_scoring.process_results\n"
        lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in task.items())
        write_text(Path(folder) / f"{name}.yaml", lines + call)
    except OSError as error:
        raise cannot_write(Path(folder), error) from error
    return name


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """What lm-eval's task says of one answer.

    Args:
        doc: a line of the questions' file.
        results: the model's text, with its reasoning.
    """
    fields = {name: doc[name] for name in ("number", "name", "prompt", "answer", "beginning")}
    item = BenchmarkItem(**fields, extra=json.loads(doc["extra"]))
    benchmark = _benchmark(doc["benchmark"])
    text, well_formed = answer_of(results[0])
    found = benchmark.found(item, text)
    waiting = [
        Answer(item=item, text=each, strict=strict)
        for each, strict in ((found.strict, True), (found.flexible, False))
        if each is not None
    ]
    right = {each.strict: verdict for each, verdict in zip(waiting, benchmark.judge(waiting), strict=True)}
    strict = right.get(True, False)
    return {
        "strict_score": float(strict and well_formed),
        "flexible_score": float(strict or right.get(False, False)),
    }


@cache
def _benchmark(name: str) -> Benchmark:
    """Looked up and checked once, not for each answer."""
    return get_benchmark(name)


def answer_of(text: str) -> tuple[str, bool]:
    """The answer in a text with reasoning, and whether that is well-formed, as a model's own engine tells it."""
    parts = re.split(f"({THINK}|{END_THINK})", text)
    markers = parts[1::2]
    # As the engine has it: what follows an opening marker is reasoning, whatever follows a closing one is answer.
    answer = parts[0] + "".join(
        said for marker, said in zip(markers, parts[2::2], strict=True) if marker == END_THINK
    )
    in_order = markers == [] or (markers == [THINK, END_THINK] and not parts[0].strip())
    return answer, in_order and bool(answer.strip())


def _line(benchmark: Benchmark, item: BenchmarkItem) -> str:
    # One text, because a table has one type a column, and entries differ.
    try:
        extra = json.dumps(item.extra)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{item.name}, of which the judge needs what JSON cannot hold ({error})",
            "a benchmark whose questions can be written",
            "leave --lm-eval out",
        ) from None
    row = {**asdict(item), "extra": extra, "benchmark": benchmark.name}
    return json.dumps(row, ensure_ascii=False) + "\n"
