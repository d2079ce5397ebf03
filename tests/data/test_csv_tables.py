"""CSV tables: what is read, and that every error names the file and the line."""

import pytest

from thinkling.data.csv_tables import PuzzleRow, read_rows, read_table, write_rows
from thinkling.errors import InputError, ThinklingError


def table(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_rows_come_back_as_written(tmp_path):
    rows = [
        PuzzleRow(line=2, question="1..", answer="123", source="made, by hand", rating=0),
        PuzzleRow(line=3, question=" # ", answer=None, source=None, rating=None),
        PuzzleRow(line=4, question='say "x"', answer="123", source="a", rating=7),
    ]
    path = tmp_path / "deep/table.csv"
    assert write_rows(path, iter(rows)) == 3
    assert list(read_rows(path, required=())) == rows
    assert path.read_text().startswith("source,question,answer,rating\n")
    assert [entry.name for entry in path.parent.iterdir()] == ["table.csv"]


def test_header_order_marks_and_other_columns_do_not_matter(tmp_path):
    path = table(tmp_path, "\ufeffAnswer,note, question \r\n12,x,1.\r\n\r\n21,y,.1\r\n")
    assert [(row.line, row.question, row.answer, row.rating) for row in read_rows(path)] == [
        (2, "1.", "12", None),
        (4, ".1", "21", None),
    ]


def test_rows_are_read_one_at_a_time(tmp_path):
    path = table(tmp_path, "question,answer\n1.,12\n1.\n")
    rows = read_rows(path)
    assert next(rows).question == "1."
    with pytest.raises(InputError, match="line 3: 1 values"):
        next(rows)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "an empty file"),
        ("\nquestion,answer\n", "line 1: blank"),
        ("puzzle,answer\n1,2\n", "line 1: no column 'question' among puzzle, answer"),
        ("question,anser\n1,2\n", r"no column 'answer'.*did you mean 'anser'"),
        ("question,answer,answer\n1,2,3\n", "'answer' twice"),
        ("question,answer\n1,2\n1,2,3\n", "line 3: 3 values; allowed: 2"),
        ("question,answer\n1,2\n1,\n", "line 3: no answer"),
        ("question,answer,rating\n1,2,hard\n", "line 2: rating 'hard'"),
        ("question,answer,rating\n1,2,-1\n", "line 2: rating '-1'"),
        (b"question,answer\n1,2\n1,\xff\n", "line 3: byte 0xff that is not UTF-8"),
        ("question,answer\n1,2\r3,4\n", "line 2|line 3"),
        ('question,answer\n"1,2\n', "line 2"),
    ],
)
def test_errors_name_file_and_line(tmp_path, content, words):
    path = table(tmp_path, content)
    with pytest.raises(InputError, match=words) as caught:
        list(read_rows(path))
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        list(read_rows(tmp_path / "none.csv"))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_rows(tmp_path))


def test_a_failed_write_leaves_nothing(tmp_path):
    def rows():
        yield PuzzleRow(line=2, question="1")
        raise OSError(28, "No space left on device")

    path = table(tmp_path, "old")
    with pytest.raises(ThinklingError, match="No space left"):
        write_rows(path, rows())
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_a_table_with_any_columns(tmp_path):
    path = table(tmp_path, 'id, Frage ,ANTWORT,note\n1,"a\nb, ""c""", x ,\n\n2,d,e,f\n')
    assert list(read_table(path, ["frage", "Antwort"], ["note", "none"])) == [
        (2, {"frage": 'a\nb, "c"', "Antwort": " x ", "note": None}),
        (5, {"frage": "d", "Antwort": "e", "note": "f"}),
    ]
    assert [(row.question, row.answer) for row in read_rows(path, question="Frage", answer="antwort")] == [
        ('a\nb, "c"', " x "),
        ("d", "e"),
    ]
    with pytest.raises(
        InputError, match=r"no column 'Antwrt' among id, frage, antwort, note.*did you mean 'antwort'"
    ):
        list(read_table(path, ["frage", "Antwrt"]))
