"""The table task: text to tokens and back, where an answer ends, and what is said of bad text."""

import json
import random

import numpy as np
import pytest

from thinkling.errors import InputError
from thinkling.tasks.registry import get_task
from thinkling.tasks.table import Table, kind_of
from thinkling.tasks.table_alphabet import END_TOKEN, separator_of

SUMS = Table(alphabet="+0123456789=", length=8)
RIGHT = Table(alphabet="+0123456789=", length=8, align="right")
NUMBERS = Table(tokens="integers", alphabet=[-5, 0, 7, 12, 300], length=4, separator=",")


def tokens_of(*symbols):
    """Tokens of SUMS, `$` for the end and `_` for padding."""
    return ["_$+0123456789=".index(symbol) for symbol in "".join(symbols)]


def test_questions_and_answers_are_laid_out_as_documented():
    assert SUMS.parse("407+58=").tolist() == tokens_of("407+58=_")
    assert SUMS.encode_answer("465").tolist() == tokens_of("465$____")
    assert RIGHT.parse("407+58=").tolist() == tokens_of("_407+58=")
    assert RIGHT.encode_answer("465").tolist() == tokens_of("____$465")
    assert SUMS.encode_answer("12345678").tolist() == RIGHT.encode_answer("12345678").tolist()
    assert (SUMS.encode_answer("12345678") != END_TOKEN).all()
    assert NUMBERS.parse("7, 300 -5").tolist() == [4, 6, 2, 0]
    assert (SUMS.vocab_size, SUMS.seq_len, SUMS.shape, SUMS.block) == (14, 8, (1, 8), (1, 8))


@pytest.mark.parametrize("align", ["left", "right"])
@pytest.mark.parametrize("alphabet", ["ab", " \n\t\"',", "äß日本🙂e\u0301", "01\ud800"])
def test_every_text_comes_back_exactly(align, alphabet):
    task = Table(alphabet=alphabet, length=7, align=align)
    draw = random.Random(3)
    texts = ["".join(draw.choices(alphabet, k=draw.randint(1, 7))) for _ in range(200)]
    questions, answers = task.encode_rows(texts, texts[::-1])
    assert task.format_rows(questions) == texts
    assert task.format_rows(answers) == texts[::-1]
    for row, text in enumerate(texts):
        assert task.parse(text).tolist() == questions[row].tolist()
        assert task.encode_answer(text).tolist() == answers[len(texts) - 1 - row].tolist()
        assert task.format(questions[row]) == text


@pytest.mark.parametrize("align", ["left", "right"])
@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_integers_come_back_with_their_separator(align, separator):
    task = Table(
        tokens="integers", alphabet=list(range(-400, 400)), length=5, align=align, separator=separator
    )
    assert task.symbols.dtype is np.uint16
    draw = random.Random(4)
    texts = [separator.join(map(str, draw.choices(task.alphabet, k=draw.randint(1, 5)))) for _ in range(50)]
    questions, answers = task.encode_rows(texts, texts)
    assert task.format_rows(questions) == task.format_rows(answers) == texts
    assert [task.parse(text).tolist() for text in texts] == questions.tolist()


def test_what_a_model_says_beyond_the_end_or_the_alphabet():
    assert SUMS.format(np.array(tokens_of("46$99_12"))) == "46"
    assert RIGHT.format(np.array(tokens_of("99_12$46"))) == "46"
    assert SUMS.format(np.array(tokens_of("46_99$12"))) == "46"
    assert SUMS.format(np.array([3, 99, 0, 0, 0, 0, 0, 0])) == "0?"
    assert SUMS.format(np.full(8, END_TOKEN)) == ""
    assert NUMBERS.format(np.array([2, 99, 0, 0])) == "-5,?"


@pytest.mark.parametrize(
    ("task", "text", "words"),
    [
        (SUMS, "40a", r"question with the character 'a' at place 3; allowed: '\+0123456789='; correct"),
        (
            SUMS,
            "123456789",
            "question of 9 characters; allowed: 1 to 8, the length of this table's model; shorten",
        ),
        (SUMS, "", "question of 0 characters; allowed: 1 to 8"),
        (SUMS, "1\0", "the character '.x00' at place 2"),
        (NUMBERS, "7 x", "question with 'x' at place 2; allowed: integers separated by blanks or commas"),
        (NUMBERS, "7 8", "question with the integer 8 at place 2; allowed: -5, 0, 7, 12, 300"),
        (NUMBERS, "7 7 7 7 7", "question of 5 integers; allowed: 1 to 4"),
        (NUMBERS, " , ", "question of 0 integers"),
    ],
)
def test_bad_text_is_told_with_place_and_alphabet(task, text, words):
    with pytest.raises(InputError, match=words):
        task.parse(text)
    with pytest.raises(InputError, match=words.replace("question", "answer")):
        task.encode_answer(text)
    with pytest.raises(InputError, match=words):
        task.encode_rows(["7", text], ["7", "7"])


def test_a_long_alphabet_is_cut_in_messages():
    task = Table(alphabet="".join(map(chr, range(0x4E00, 0x4E00 + 500))), length=3)
    with pytest.raises(InputError, match="and 440 more"):
        task.parse("x")


@pytest.mark.parametrize(
    "task", [SUMS, RIGHT, NUMBERS, Table(alphabet="ab", length=6, shape=(2, 3), frame=("q: ", "?"))]
)
def test_settings_build_the_same_task_again(task):
    settings = json.loads(json.dumps(task.settings()))
    assert get_task(settings) == task
    assert "plugin" not in settings


def test_a_frame_may_come_with_the_question_or_not():
    task = Table(alphabet="12", length=3, frame=("Sort ", " please"))
    assert task.parse("Sort 21 please").tolist() == task.parse("21").tolist()
    assert task.format(task.parse("Sort 21 please")) == "21"
    with pytest.raises(InputError, match="characters"):
        task.parse("Sort 21")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "length 0 of a table"),
        ({"length": 4, "alphabet": "aab"}, "alphabet 'aab'.*each once"),
        ({"length": 4, "alphabet": "a\0"}, "alphabet"),
        ({"length": 4, "alphabet": [1, True], "tokens": "integers"}, "alphabet"),
        ({"length": 4, "alphabet": "12", "tokens": "integers"}, "alphabet"),
        ({"length": 4, "alphabet": "a", "tokens": "words"}, "tokens 'words'.*characters or integers"),
        ({"length": 4, "alphabet": "a", "align": "middle"}, "align 'middle'"),
        ({"length": 4, "alphabet": "a", "shape": [2, 3]}, r"shape \[2, 3\].*4 cells"),
        ({"length": 4, "alphabet": "a", "shape": "2x2"}, "shape"),
        ({"length": 4, "alphabet": "a", "frame": ["a"]}, "frame"),
        ({"length": 4, "alphabet": "a", "separator": 3}, "separator"),
        ({"length": 4, "alphabet": "a", "plugin": {"file": "x.py"}}, "plugin"),
        ({"length": True, "alphabet": "a"}, "length True"),
        ({"length": 4, "alphabt": "a"}, "setting 'alphabt'.*did you mean 'alphabet'"),
    ],
)
def test_damaged_settings_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        get_task({"name": "table", **settings})


def test_without_a_plugin_nothing_is_checked_or_varied():
    inputs, labels = SUMS.encode_rows(["1+1=", "2+2="], ["2", "4"])
    assert (SUMS.has_checker, SUMS.augment_numbers) == (False, 0)
    assert not SUMS.check("1+1=", "2")
    assert SUMS.check_batch(inputs, labels).tolist() == [False, False]
    assert SUMS.judge_batch(inputs, labels) == {}
    ids = np.array([0, 0])
    same = SUMS.augment(inputs, labels, ids, np.zeros((2, 0)))
    assert [array.tolist() for array in same] == [inputs.tolist(), labels.tolist(), [0, 0]]
    SUMS.validate(inputs[0])
    assert SUMS.rate(inputs[0]) == 4
    assert SUMS.puzzle_id("") == 0
    with pytest.raises(InputError, match="puzzle 'a' of task table"):
        SUMS.puzzle_id("a")


def test_words_on_the_command_line():
    assert kind_of("integers") == "integers"
    with pytest.raises(InputError, match="did you mean 'integers'"):
        kind_of("integer")
    assert [separator_of(text) for text in ("7", "1,2", "1, 2", "1 2", "-1  -2")] == [
        None,
        ",",
        ", ",
        " ",
        " ",
    ]
