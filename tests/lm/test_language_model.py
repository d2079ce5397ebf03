"""The language model as a user holds it: loading, answering, streaming, voting."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from small_decoder import parrot_engine, small_decoder, small_tokenizer, write_random_run

import thinkling
from thinkling.data.chat_template import Message
from thinkling.errors import InputError
from thinkling.lm.engine import GenerationEngine
from thinkling.lm.language_model import AnswerSettings, LanguageModel
from thinkling.lm.run_files import PRETRAINING
from thinkling.lm.sampling import SamplingConfig
from thinkling.models import product_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm") / "chat"
    write_random_run(folder)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> LanguageModel:
    found = thinkling.load(run, device="cpu", compute_dtype="float32")
    assert isinstance(found, LanguageModel)
    return found


class Scripted(LanguageModel):
    """Answers every prompt with a script."""

    def __init__(self, script: str) -> None:
        tokenizer = small_tokenizer()
        super().__init__(small_decoder(tokenizer.vocab_size), tokenizer, {})
        self.script = tokenizer.encode(script, special=True)

    def engine(self, **settings: object) -> GenerationEngine:
        return parrot_engine(self.tokenizer, self.script)


def test_a_folder_is_saved_and_loaded(run: Path, model: LanguageModel, tmp_path: Path) -> None:
    assert product_of(run) == "lm"
    model.save_pretrained(tmp_path / "again")
    again = LanguageModel.from_folder(tmp_path / "again", device="cpu", compute_dtype="float32")
    assert again.params == model.params == sum(p.numel() for p in model.network.parameters())
    settings = AnswerSettings(max_tokens=12)
    assert again.generate("What is 12?", settings).text == model.generate("What is 12?", settings).text
    assert again.architecture == model.network.config


def test_an_answer_and_its_reasoning() -> None:
    told = Scripted("<think>3 and 4</think>7<|im_end|>").generate("7")
    assert (told.text, told.reasoning, told.finish, told.well_formed) == ("7", "3 and 4", "stop", True)
    assert told.tokens > told.thinking_tokens > 0
    assert told.tokens_per_second > 0


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("<think>1</think>2<|im_end|>", True),
        ("2<|im_end|>", True),
        ("<think>1</think><|im_end|>", False),
        ("<think>1<|im_end|>", False),
        ("<think>1</think><think>1</think>2<|im_end|>", False),
        ("2<think>1</think>2<|im_end|>", False),
        ("</think>2<|im_end|>", False),
    ],
)
def test_what_is_well_formed(script: str, expected: bool) -> None:
    assert Scripted(script).generate("7").well_formed is expected


def test_many_are_answered_as_each_alone(model: LanguageModel) -> None:
    prompts = ["What", "What is 12?", "The sum of héllo and wörld", "7"]
    settings = AnswerSettings(max_tokens=10, sampling=SamplingConfig(temperature=1.0, seed=3))
    together = model.generate_many(prompts, settings)
    alone = [model.generate(prompt, settings) for prompt in prompts]
    assert [each.text for each in together] == [each.text for each in alone]


def test_settings_by_name(model: LanguageModel) -> None:
    assert model.generate("7", max_tokens=3).tokens <= 3
    with pytest.raises(TypeError, match="max_token"):
        model.generate("7", max_token=3)


def test_pieces_are_the_answer() -> None:
    model = Scripted("<think>3 and 4</think>It is 7<|im_end|>")
    pieces = list(model.stream("7"))
    assert "".join(piece.text for piece in pieces if piece.kind == "reasoning") == "3 and 4"
    assert "".join(piece.text for piece in pieces if piece.kind == "text") == "It is 7"
    whole = pieces[-1].generated
    assert whole is not None
    assert (whole.text, whole.reasoning) == ("It is 7", "3 and 4")
    assert all(piece.generated is None for piece in pieces[:-1])


def test_other_answers_may_be_asked_for_between_pieces(model: LanguageModel) -> None:
    settings = AnswerSettings(max_tokens=20)
    expected = model.generate("What is", settings)
    stream = model.stream("What is", settings)
    first = next(stream)
    other = model.generate("7", settings)
    rest = [first, *stream]
    assert "".join(piece.text for piece in rest if piece.kind == "text") == expected.text
    assert other.text == model.generate("7", settings).text
    next(model.stream("What is", settings))  # left after its first piece
    assert model.generate("What is", settings).text == expected.text


def test_without_thinking_the_prompt_says_so(model: LanguageModel) -> None:
    tokenizer = model.tokenizer
    prompt = model.request("7", AnswerSettings(thinking=False)).prompt
    assert prompt[-2:] == [tokenizer.think_id, tokenizer.end_think_id]
    assert prompt[:-2] == model.request("7").prompt


def test_a_pretrained_model_goes_on_with_a_text(tmp_path: Path) -> None:
    model = write_random_run(tmp_path / "text", PRETRAINING)
    model = LanguageModel.from_folder(tmp_path / "text", device="cpu", compute_dtype="float32")
    assert model.request("7").prompt == [model.tokenizer.bos_id, *model.tokenizer.encode("7")]
    with pytest.raises(InputError, match="pretraining"):
        model.generate([Message(role="user", content="7")])


def test_votes(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    vote = model.vote("7", 6, max_tokens=4, sampling=SamplingConfig(seed=2))
    assert len(vote.samples) == 6
    assert len({sample.text for sample in vote.samples}) > 1, (
        "samples differ although the settings say greedy"
    )
    again = model.vote("7", 6, max_tokens=4, sampling=SamplingConfig(seed=2))
    assert [sample.text for sample in again.samples] == [sample.text for sample in vote.samples]
    texts = ["9", " seven", "Seven ", "", "9", "seven"]
    answers = [replace(sample, text=text) for sample, text in zip(vote.samples, texts, strict=True)]
    monkeypatch.setattr(model, "answer", lambda requests: answers)
    counted = model.vote("7", 6)
    assert counted.text == "seven"
    assert counted.share == 0.5
    assert counted.shares == {"seven": 0.5, "9": pytest.approx(1 / 3)}
    with pytest.raises(InputError, match="0 samples"):
        model.vote("7", 0)


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("", "empty prompt"),
        (" \n", "empty prompt"),
        ([], "empty prompt"),
        ("7" * 96, "a prompt of"),
        ("1<|im_end|>2", "im_end"),
        ("<think>", "think"),
        ("\udc80", "surrogate"),
    ],
)
def test_what_is_refused(model: LanguageModel, prompt: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        model.generate(prompt)
    with pytest.raises(InputError, match=rf"question 5.*{named}"):
        model.generate_many(["7", prompt], place="question", first_number=4)
    with pytest.raises(InputError, match=named):
        next(model.stream(prompt))


def test_a_damaged_run(run: Path, model: LanguageModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "short")
    weights = tmp_path / "short" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(InputError, match=r"model\.safetensors"):
        LanguageModel.from_folder(tmp_path / "short")


def test_the_weights_of_a_checkpoint_keep_their_dtype(run: Path) -> None:
    model = LanguageModel.from_folder(run, device="cpu", compute_dtype="bfloat16")
    assert model.network.compute_dtype == torch.bfloat16
    assert model.generate("7", max_tokens=4).tokens <= 4
