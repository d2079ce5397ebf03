"""`thinkling chat RUN`: talk with a language model in the terminal; with a message, one exchange."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from thinkling.cli.answer_arguments import AnswerArguments, as_json, load_to_answer, show_pieces
from thinkling.cli.output import Report
from thinkling.data.chat_template import Message
from thinkling.errors import InputError
from thinkling.lm.language_model import AnswerSettings, Generated, LanguageModel
from thinkling.lm.run_files import CHAT

_HELP = "/reset forgets what was said, /think and /hide show or hide the reasoning, /quit leaves"


@dataclass(frozen=True, kw_only=True)
class Arguments(AnswerArguments):
    """Talk with a language model. Its reasoning is dimmed, or hidden with --hide-thinking; /help lists commands."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder of a model that was trained on conversations, or hf://OWNER/NAME."""
    message: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MESSAGE")] = ""
    """One message: it is answered, and the command ends."""
    system: str = ""
    """A message of the system before all others."""
    hide_thinking: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Do not show the reasoning."""


def run(arguments: Arguments) -> Report | int:
    """Answer one message, or all that are typed."""
    if arguments.json and not arguments.message:
        raise InputError("--json without a message", "a message after RUN", "type one, or leave --json out")
    settings = arguments.settings()
    model = load_to_answer(arguments.run_folder, arguments)
    if model.stage != CHAT:
        raise InputError(
            f"{arguments.run_folder}: a model of the stage {model.stage!r}",
            "one that was trained on conversations",
            "train it on some (thinkling train lm-sft), or use: thinkling generate",
        )
    talk = Talk(model, settings, arguments.system, hide_thinking=arguments.hide_thinking)
    if arguments.json:
        return Report(values=as_json(model.generate([*talk.begin, talk.user(arguments.message)], settings)))
    if arguments.message:
        talk.say(arguments.message)
    else:
        _converse(talk)
    return 0


class Talk:
    """A conversation in the terminal.

    Attributes:
        begin: the system's message, where there is one.
        said: what was said so far.
        hide_thinking: whether reasoning is left out.
    """

    def __init__(
        self, model: LanguageModel, settings: AnswerSettings, system: str = "", *, hide_thinking: bool = False
    ) -> None:
        self._model, self._settings = model, settings
        self.begin = [Message(role="system", content=system)] if system else []
        self.said: list[Message] = []
        self.hide_thinking = hide_thinking

    @staticmethod
    def user(text: str) -> Message:
        """A message of the user."""
        return Message(role="user", content=text)

    def say(self, text: str) -> Generated:
        """Say something, print the answer, and remember both.

        Raises:
            InputError: the message alone fills the context, or holds a special token.
        """
        message = self.user(text)
        self._forget_what_does_not_fit(message)
        pieces = self._model.stream([*self.begin, *self.said, message], self._settings)
        generated = show_pieces(pieces, hide_thinking=self.hide_thinking)
        try:
            answer = Message(role="assistant", content=generated.text, reasoning=generated.reasoning)
        except InputError:  # no answer, or a special token spelled out: nothing that a conversation may hold
            _note("(no answer that could be remembered; this exchange is forgotten)")
        else:
            self.said += [message, answer]
        return generated

    def _forget_what_does_not_fit(self, message: Message) -> None:
        """Drop the oldest exchanges while question and longest answer do not fit into the context."""
        context = self._model.network.config.max_length
        while self.said:
            prompt = self._model.request([*self.begin, *self.said, message], self._settings).prompt
            if len(prompt) + self._settings.max_tokens <= context:
                return
            del self.said[:2]
            _note("(the context is full; the oldest exchange is forgotten)")


def _converse(talk: Talk) -> None:
    typed = sys.stdin.isatty()
    if typed:
        _note(_HELP)
    while True:
        try:
            line = input("> " if typed else "").strip()
        except (EOFError, KeyboardInterrupt):
            if typed:
                print()
            return
        if line in ("/quit", "/exit"):
            return
        if line == "/reset":
            talk.said.clear()
            _note("(forgotten)")
        elif line in ("/think", "/hide"):
            talk.hide_thinking = line == "/hide"
        elif line.startswith("/"):
            _note(_HELP)
        elif line:
            try:
                talk.say(line)
            except InputError as error:
                _note(f"thinkling: {error}")
            except KeyboardInterrupt:
                _note("\n(stopped; this exchange is forgotten)")


def _note(text: str) -> None:
    print(text, file=sys.stderr)
