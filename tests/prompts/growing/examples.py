"""A request for new options, which the tests of growth share."""

from __future__ import annotations

from prompt_search.prompts.growing.asked import Asking, ShownRow

CHARGED = ShownRow(
    fields={"text": "I was billed twice this month, please return the second charge."},
    target="refund",
    answer="login",
    explanation="the message is about money",
)
STUCK = ShownRow(fields={"text": "My parcel has been stuck at the depot since Monday."}, target="delivery", answer="x")
PARENTS = ("Classify the message. Answer with the label only.", "Which team should handle this message?")
LABELS = ("refund", "login", "delivery")
ASKING = Asking(
    choice="instruction",
    purpose="tells the model how the labels are told apart",
    parents=PARENTS,
    rows=(CHARGED, STUCK),
    labels=LABELS,
    count=3,
    prompt="THE WHOLE PROMPT",
    longest=432,
)
