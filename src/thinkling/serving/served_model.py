"""What requests of every product say in the same words: which model, and one question or several."""

from __future__ import annotations

from thinkling.errors import nearest
from thinkling.serving.errors import RequestError
from thinkling.serving.fields import Fields, shown


def check_model(fields: Fields, served: str) -> None:
    """Refuse a request for another model; one that names none is for this one.

    Raises:
        RequestError: another name (404), or no text.
    """
    name = fields.text("model", served)
    if name != served:
        raise RequestError(
            f"model {shown(name)}",
            served,
            nearest(name, [served]),
            param="model",
            code="model_not_found",
            status=404,
        )


def one_or_many(fields: Fields, one: str, many: str, most: int) -> tuple[list[str], list[str]]:
    """The texts under either of two fields, and what errors call each.

    Args:
        fields: of the request.
        one: the field that holds a text.
        many: the field that holds a list of them.
        most: texts a request may have.

    Raises:
        RequestError: both fields or neither, no texts, or more than allowed (413).
    """
    if (one in fields) == (many in fields):
        given = f"{one} and {many}" if one in fields else f"neither {one} nor {many}"
        raise RequestError(given, "one of the two", f'send "{one}": "…" or "{many}": ["…", …]', param=one)
    if one in fields:
        return [fields.text(one, "")], [one]
    texts = fields.value(many)
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise fields.wrong(many, "a list with at least one text", "send each as one text")
    if len(texts) > most:
        raise RequestError(
            f"{len(texts)} {many} in one request",
            f"at most {most}",
            "send them in several requests: those of many clients are answered together anyway",
            param=many,
            code=f"too_many_{many}",
            status=413,
        )
    return texts, [f"{many}[{number}]" for number in range(len(texts))]
