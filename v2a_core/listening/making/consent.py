"""What people agree to before they listen, where nobody wrote another text."""

from __future__ import annotations

_BEFORE = """\
You will see short videos and hear sounds that were made for them, several for each video, and say how good they are."""

KEPT = """\
Your answers stay in this browser until you save them as a file at the end; the page sends nothing anywhere. The file \
holds your answers, how long you took, and the name or code that you type below, if any. It is used to compare the \
programs that made the sounds, together with the answers of others.

Taking part is voluntary. You can stop whenever you like; without the file nobody gets to know what you answered."""

SENT = """\
Your answers are sent to the server of this page at the end, with how long you took, and the name or code that you \
type then, if any. They are used to compare the programs that made the sounds, together with the answers of others.

Taking part is voluntary. You can stop whenever you like; what you answered is then not sent."""

_AFTER = "Please use headphones in a quiet room."


def consent_text(answers: str) -> str:
    """The text, paragraphs apart by empty lines.

    Args:
        answers: What becomes of answers: `KEPT` or `SENT`.
    """
    return "\n\n".join([_BEFORE, answers, _AFTER])


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, which empty lines part."""
    return [part.strip() for part in text.replace("\r\n", "\n").split("\n\n") if part.strip()]
