"""The generation engine: what is said together is what is said alone, and every rule of thinking and stopping."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from small_decoder import parrot_engine, small_decoder, small_tokenizer

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.engine import GenerationEngine
from thinkling.lm.model import Decoder
from thinkling.lm.reader import DecoderReader
from thinkling.lm.request import Completion, Request
from thinkling.lm.sampling import SamplingConfig

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("g++", "clang++", "c++")), reason="no C++ compiler here"
)


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return small_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer: ChatTokenizer) -> Decoder:
    return small_decoder(tokenizer.vocab_size)


def requests(tokenizer: ChatTokenizer, count: int = 11) -> list[Request]:
    """Of many lengths and settings, some with the same prompt."""
    return [
        Request(
            prompt=tokenizer.encode("What is 12 plus 7? " * (1 + number % 4)),
            max_tokens=3 + 2 * number,
            sampling=SamplingConfig(
                temperature=(0.0, 1.0, 0.8)[number % 3],
                top_p=0.9 if number % 3 == 2 else 1.0,
                repetition_penalty=1.2 if number % 5 == 0 else 1.0,
                seed=7,
            ),
            sample=number,
            ignore_eos=number % 2 == 0,
        )
        for number in range(count)
    ]


def without_cache(model: Decoder, request: Request) -> list[int]:
    """Greedy tokens, the whole sequence read anew each time."""
    ids = list(request.prompt)
    with torch.no_grad():
        for _ in range(request.max_tokens):
            ids.append(int(model.logits(model(torch.tensor([ids])))[0, -1].argmax()))
    return ids[len(request.prompt) :]


def test_greedy_is_what_the_whole_sequence_read_anew_says(tokenizer: ChatTokenizer, model: Decoder) -> None:
    wanted = [
        Request(prompt=tokenizer.encode(text), max_tokens=12, ignore_eos=True)
        for text in ("What is", "The sum of héllo and wörld", "7", "What is 12 plus 7?")
    ]
    told = GenerationEngine(model, tokenizer, slots=3).run(wanted)
    assert [completion.tokens for completion in told] == [without_cache(model, each) for each in wanted]
    assert len({token for completion in told for token in completion.tokens}) > 4, (
        "not one token again and again"
    )


@pytest.mark.parametrize("slots", [1, 3, 64])
def test_company_changes_nothing(tokenizer: ChatTokenizer, model: Decoder, slots: int) -> None:
    asked = requests(tokenizer)
    alone = [GenerationEngine(model, tokenizer, slots=1).run([request])[0] for request in asked]
    together = GenerationEngine(model, tokenizer, slots=slots).run(asked)
    assert [each.tokens for each in together] == [each.tokens for each in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_log_probabilities_are_the_model_s(tokenizer: ChatTokenizer, model: Decoder) -> None:
    request = Request(
        prompt=tokenizer.encode("What is"),
        max_tokens=10,
        sampling=SamplingConfig(temperature=0.7),
        ignore_eos=True,
    )
    [told] = GenerationEngine(model, tokenizer).run([request])
    whole = torch.tensor([request.prompt + told.tokens])
    with torch.no_grad():
        expected = torch.log_softmax(model.logits(model(whole)) / 0.7, -1)[0]
    places = range(len(request.prompt) - 1, whole.shape[1] - 1)
    assert told.logprobs == pytest.approx(
        [float(expected[place, token]) for place, token in zip(places, told.tokens, strict=True)], abs=1e-4
    )


def test_slots_are_refilled_and_never_more_than_there_are(tokenizer: ChatTokenizer, model: Decoder) -> None:
    engine = GenerationEngine(model, tokenizer, slots=4)
    lengths = [2, 9, 3, 5, 4, 7, 2, 6]
    numbers = [
        engine.add(Request(prompt=tokenizer.encode("What"), max_tokens=length, ignore_eos=True))
        for length in lengths
    ]
    ended: dict[int, int] = {}
    steps = 0
    while engine.busy:
        events = engine.step()
        steps += 1
        assert len(events) <= 4
        ended |= {event.number: len(event.completion.tokens) for event in events if event.completion}
    assert [ended[number] for number in numbers] == lengths
    assert steps == 12, "as few as four slots allow when each is refilled at once"


def test_a_long_prompt_is_read_in_parts(tokenizer: ChatTokenizer) -> None:
    model = small_decoder(tokenizer.vocab_size, max_length=1400)
    prompt = torch.randint(
        8, tokenizer.vocab_size, (1200,), generator=torch.Generator().manual_seed(1)
    ).tolist()
    request = Request(prompt=prompt, max_tokens=3, ignore_eos=True)
    short = Request(prompt=prompt[:5], max_tokens=40, ignore_eos=True)
    together = GenerationEngine(model, tokenizer, slots=2).run([request, short])
    assert together[0].tokens == without_cache(model, request)
    assert together[1].tokens == without_cache(model, short)


def test_weights_that_change_are_used_after_a_refresh(tokenizer: ChatTokenizer) -> None:
    model = small_decoder(tokenizer.vocab_size)
    engine = GenerationEngine(model, tokenizer)
    request = Request(prompt=tokenizer.encode("What is"), max_tokens=8, ignore_eos=True)
    [before] = engine.run([request])
    model.load_state_dict(small_decoder(tokenizer.vocab_size, seed=1).state_dict())
    engine.refresh()
    [after] = engine.run([request])
    assert after.tokens != before.tokens
    assert after.tokens == without_cache(model, request)


def test_the_model_stays_trainable(tokenizer: ChatTokenizer) -> None:
    model = small_decoder(tokenizer.vocab_size)
    GenerationEngine(model, tokenizer).run([Request(prompt=[9, 10], max_tokens=3)])
    model.logits(model(torch.tensor([[9, 10, 11]]))).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=needs_compiler)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_reader_is_the_decoder(tokenizer: ChatTokenizer, dtype: torch.dtype, compiled: bool) -> None:
    """Prompts of several lengths, then token by token, against `Decoder.read`, which knows nothing of layouts."""
    model = small_decoder(tokenizer.vocab_size)
    model.compute_dtype = dtype
    reader = DecoderReader(model, compile=compiled)
    ids = torch.randint(8, tokenizer.vocab_size, (5, 9), generator=torch.Generator().manual_seed(2))
    counts = torch.tensor([9, 2, 5, 9, 1])
    caches = model.cache(7, 32), reader.cache(7, 32)
    rows = slice(1, 6)
    worst = 0.0
    with torch.inference_mode():
        for step in range(6):
            inputs, real = (ids, counts) if step == 0 else (ids[:, step : step + 1], None)
            expected = model.read(inputs, caches[0], rows, real)
            found = reader.read(inputs, caches[1], rows, real)
            worst = max(worst, float((found - expected).abs().max() / expected.abs().max()))
    assert caches[1].lengths.tolist() == caches[0].lengths.tolist() == [0, 14, 7, 10, 14, 6, 0]
    assert worst < (1e-5 if dtype == torch.float32 else 0.05)


@needs_compiler
def test_compiled_kernels_answer_as_plain_operations(tokenizer: ChatTokenizer) -> None:
    """While rows come, leave and are copied, and the cache grows; then with other weights."""
    model, asked = small_decoder(tokenizer.vocab_size), requests(tokenizer)
    engine = GenerationEngine(model, tokenizer, slots=4, compile=True)
    for seed in (0, 1):
        model.load_state_dict(small_decoder(tokenizer.vocab_size, seed=seed).state_dict())
        engine.refresh()
        assert engine.reader.compiled
        plain = GenerationEngine(model, tokenizer, slots=4).run(asked)
        for told, expected in zip(engine.run(asked), plain, strict=True):
            assert told.tokens == expected.tokens
            assert told.logprobs == pytest.approx(expected.logprobs, abs=1e-4)


def test_rows_by_number_and_by_slice_read_the_same(tokenizer: ChatTokenizer) -> None:
    model = small_decoder(tokenizer.vocab_size)
    caches = model.cache(4, 16), model.cache(4, 16)
    ids = torch.tensor([[9, 10, 11], [12, 13, 14]])
    with torch.no_grad():
        for inputs in (ids, ids[:, :1]):
            by_slice = model.read(inputs, caches[0], slice(1, 3))
            by_number = model.read(inputs, caches[1], torch.tensor([1, 2]))
            assert torch.allclose(by_slice, by_number, atol=1e-5)
    assert caches[0].lengths.tolist() == caches[1].lengths.tolist() == [0, 4, 4, 0]


def test_a_cache_that_grows_keeps_what_it_holds(tokenizer: ChatTokenizer) -> None:
    model = small_decoder(tokenizer.vocab_size)
    small, large = model.cache(1, 4), model.cache(3, 16)
    with torch.no_grad():
        model.read(torch.tensor([[9, 10, 11]]), small)
        model.read(torch.tensor([[9, 10, 11]]), large, slice(0, 1))
        small.grow(3, 16)
        small.copy(0, 2)
        first = model.read(torch.tensor([[12], [12]]), small, torch.tensor([0, 2]))
        assert torch.allclose(
            first, model.read(torch.tensor([[12]]), large, slice(0, 1)).expand(2, -1), atol=1e-5
        )
    assert small.bytes == large.bytes
    assert small.lengths.tolist() == [4, 0, 4]


def test_bfloat16_runs(tokenizer: ChatTokenizer) -> None:
    model = small_decoder(tokenizer.vocab_size)
    model.compute_dtype = torch.bfloat16
    asked = requests(tokenizer, 5)
    told = GenerationEngine(model, tokenizer, slots=2).run(asked)
    assert all(completion.tokens for completion in told)


# ------------------------------------------------------------------------- thinking, stopping, streaming


def said(
    tokenizer: ChatTokenizer, script: str | list[int], **settings: object
) -> tuple[Completion, list[tuple[str, str]]]:
    """What a model that says `script` leads to, and the pieces in which it came."""
    ids = tokenizer.encode(script, special=True) if isinstance(script, str) else script
    settings = {"max_tokens": 90, "prompt": [8], **settings}
    engine = parrot_engine(tokenizer, ids)
    engine.add(Request(**settings))  # type: ignore[arg-type]  # a test's
    pieces = []
    while True:
        [event] = engine.step()
        pieces.append((event.kind, event.text_piece))
        if event.completion is not None:
            return event.completion, pieces


def joined(pieces: list[tuple[str, str]], kind: str) -> str:
    return "".join(text for of, text in pieces if of == kind)


def test_reasoning_apart_from_answer(tokenizer: ChatTokenizer) -> None:
    told, pieces = said(tokenizer, "<think>12 plus 7</think>It is 19.<|im_end|>")
    assert (told.reasoning, told.text, told.finish) == ("12 plus 7", "It is 19.", "stop")
    assert told.thinking_tokens == len(tokenizer.encode("12 plus 7"))
    assert told.tokens[-1] == tokenizer.im_end_id
    assert joined(pieces, "reasoning") == "12 plus 7"
    assert joined(pieces, "text") == "It is 19."
    assert told.prompt_tokens == 1
    assert len(told.logprobs) == len(told.tokens)


@pytest.mark.parametrize("budget", [0, 1, 3])
def test_the_budget_of_thinking(tokenizer: ChatTokenizer, budget: int) -> None:
    script = [tokenizer.think_id] + [tokenizer.encode("1")[0]] * 60
    told, _ = said(tokenizer, script, think_budget=budget, max_tokens=20)
    assert told.reasoning == "1" * budget
    assert told.thinking_tokens == budget
    assert told.forced == [1 + budget]
    assert told.tokens[1 + budget] == tokenizer.end_think_id
    assert told.logprobs[1 + budget] < -5, "the model did not want it"
    assert told.text == "1" * (20 - 2 - budget)


def test_a_budget_that_is_not_used_up(tokenizer: ChatTokenizer) -> None:
    told, _ = said(tokenizer, "<think>12</think>19<|im_end|>", think_budget=50)
    assert (told.reasoning, told.text, told.forced) == ("12", "19", [])


def test_thinking_that_the_prompt_has_begun(tokenizer: ChatTokenizer) -> None:
    engine = parrot_engine(tokenizer, tokenizer.encode("12</think>9<eos>", special=True))
    [told] = engine.run([Request(prompt=[9, tokenizer.think_id])])
    assert (told.reasoning, told.text, told.finish) == ("12", "9", "stop")


@pytest.mark.parametrize("marker", ["<eos>", "<|im_end|>"])
def test_what_ends_an_answer(tokenizer: ChatTokenizer, marker: str) -> None:
    told, _ = said(tokenizer, f"12{marker}34")
    assert (told.text, told.finish) == ("12", "stop")
    told, _ = said(tokenizer, f"12{marker}34", ignore_eos=True, max_tokens=5)
    assert (told.text, told.finish) == ("1234", "length")


def test_stop_strings_are_cut_off_wherever_tokens_end(tokenizer: ChatTokenizer) -> None:
    told, pieces = said(tokenizer, "1234567", stop=("45", "99"))
    assert (told.text, told.finish) == ("123", "stop")
    assert joined(pieces, "text") == "123"
    told, pieces = said(tokenizer, "12341234567", stop=("45",))
    assert told.text == joined(pieces, "text") == "1234123"
    assert [text for _, text in pieces][3:5] == ["", "41"], "what may become a stop string waits"


def test_stop_strings_are_not_looked_for_in_the_reasoning(tokenizer: ChatTokenizer) -> None:
    told, _ = said(tokenizer, "<think>45</think>1245<|im_end|>", stop=("45",))
    assert (told.reasoning, told.text) == ("45", "12")


def test_what_waits_for_a_stop_string_comes_at_the_end(tokenizer: ChatTokenizer) -> None:
    told, pieces = said(tokenizer, "124<|im_end|>", stop=("45",))
    assert told.text == joined(pieces, "text") == "124"
    told, pieces = said(tokenizer, "1245", stop=("456",), max_tokens=4)
    assert told.text == joined(pieces, "text") == "1245"


def test_pieces_never_split_a_character(tokenizer: ChatTokenizer) -> None:
    text = "日本 😀 é"
    told, pieces = said(tokenizer, text + "<|im_end|>")
    assert told.text == text
    assert joined(pieces, "text") == text
    assert "\ufffd" not in "".join(piece for _, piece in pieces)
    assert len(pieces) > len(text), "some tokens are only part of a character"


def test_bytes_that_are_no_character(tokenizer: ChatTokenizer) -> None:
    euro = tokenizer.encode("😀")
    told, pieces = said(tokenizer, [*euro[:2], tokenizer.im_end_id])
    assert told.text == joined(pieces, "text") == "\ufffd"


# --------------------------------------------------------------------------------------- bad input, cancelling


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"prompt": []}, "empty prompt"),
        ({"prompt": [9] * 96}, "a prompt of 96 tokens; allowed: at most 95"),
        ({"prompt": [9, 5000]}, "token ids"),
        ({"max_tokens": 0}, "max_tokens 0"),
        ({"think_budget": -1}, "think_budget -1"),
        ({"stop": ("",)}, "stop string"),
        ({"sample": -1}, "sample"),
    ],
)
def test_what_is_refused(
    tokenizer: ChatTokenizer, model: Decoder, settings: dict[str, object], named: str
) -> None:
    engine = GenerationEngine(model, tokenizer)
    with pytest.raises(InputError, match=named):
        engine.add(Request(**{"prompt": [9], **settings}))  # type: ignore[arg-type]  # a test's
    assert not engine.busy


def test_the_longest_prompt_still_gets_a_token(tokenizer: ChatTokenizer, model: Decoder) -> None:
    [told] = GenerationEngine(model, tokenizer).run([Request(prompt=[9] * 95, ignore_eos=True)])
    assert (len(told.tokens), told.finish) == (1, "length")


@pytest.mark.parametrize(
    ("settings", "named"), [({"slots": 0}, "slots 0"), ({"capacity": 97}, "capacity 97")]
)
def test_what_no_engine_can_be(
    tokenizer: ChatTokenizer, model: Decoder, settings: dict[str, int], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        GenerationEngine(model, tokenizer, **settings)


def test_cancelling_frees_a_slot_and_changes_nobody_else(tokenizer: ChatTokenizer, model: Decoder) -> None:
    asked = [
        Request(prompt=tokenizer.encode(text), max_tokens=9, ignore_eos=True)
        for text in ("What", "7", "The", "is")
    ]
    expected = GenerationEngine(model, tokenizer).run(asked)
    engine = GenerationEngine(model, tokenizer, slots=3)
    numbers = [engine.add(request) for request in asked]
    engine.step()
    engine.cancel(numbers[0])
    engine.cancel(999)
    done = {}
    while engine.busy:
        done |= {event.number: event.completion for event in engine.step() if event.completion}
    assert set(done) == set(numbers[1:])
    assert [done[number].tokens for number in numbers[1:]] == [each.tokens for each in expected[1:]]
    waiting = [engine.add(asked[0]) for _ in range(5)]
    for number in waiting:
        engine.cancel(number)
    assert not engine.busy
    assert engine.step() == []
