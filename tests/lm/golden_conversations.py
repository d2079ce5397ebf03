"""Conversations that the golden file of the chat template holds, and the vocabulary they are cut with."""

from thinkling.data.chat_template import Message

TEXTS = [
    "user: What is 12 plus 30? assistant: Let me think. 12 plus 30 is 42.",
    "system: You are a helpful assistant. You answer in one sentence.",
    "Sort the numbers 7, 3 and 5. The smallest of the numbers is 3, then 5, then 7.",
    "Zwölf und dreißig sind zweiundvierzig. 十二足す三十は四十二です。",
    "def add(first, second):\n    return first + second\n\n\nprint(add(12, 30))",
] * 4

CONVERSATIONS: dict[str, list[Message]] = {
    "a question and an answer": [
        Message(role="user", content="What is 12 plus 30?"),
        Message(role="assistant", content="42"),
    ],
    "with reasoning": [
        Message(role="user", content="What is 12 plus 30?"),
        Message(role="assistant", content="42", reasoning="12 plus 30 is 42."),
    ],
    "a system message and two turns": [
        Message(role="system", content="You answer in one sentence."),
        Message(role="user", content="Sort 7, 3 and 5."),
        Message(role="assistant", content="3, 5, 7", reasoning="The smallest is 3.\nThen 5.\n"),
        Message(role="user", content="And 1.5?"),
        Message(role="assistant", content="1.5, 3, 5, 7"),
    ],
    "line breaks and spaces at the edges": [
        Message(role="user", content="\n\n Sort  \n"),
        Message(role="assistant", content="  \n 3 \n", reasoning="\n\nthen\t"),
    ],
    "other scripts": [
        Message(role="user", content="十二足す三十は? \U0001f600 Zwölf ＋ dreißig, e\u0301"),
        Message(role="assistant", content="四十二 ½", reasoning="Zwölf…"),
    ],
    "names that are no markers": [
        Message(role="user", content="<|im_middle|> < think > assistant\nuser <|im_start| >"),
        Message(role="assistant", content="it's I'M 'ſ {{ content }} {% if %}"),
    ],
}
