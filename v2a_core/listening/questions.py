"""What listeners are asked, and the points on which they answer."""

from __future__ import annotations

from typing import Literal

QuestionName = Literal["fidelity", "relevance"]

QUESTIONS: dict[QuestionName, str] = {
    "fidelity": "Fidelity: how good does the sound itself sound, whatever is seen?",
    "relevance": "Relevance: how well does the sound fit what is seen?",
}
# From 1 up, as ITU-T P.800 has them.
LABELS = ("Bad", "Poor", "Fair", "Good", "Excellent")
POINTS = len(LABELS)
