"""The final part of a response: what follows the reasoning, without the tokens that end a turn.

These functions are pasted into exported prompts (`prompt_search.prompts.export.python_source`). Therefore this module
imports the standard library alone and has no comments for the package's own tools.

Servers that know a model's format send its reasoning apart. Others send all of it as one text: tags such as
``<think>``, the channels of gpt-oss (also without their special tokens), the sentences of Granite. Answers may quote
such tags, therefore a tag counts only where reasoning has to stand: at the beginning of the response, or where
reasoning ends that the chat template has begun. A tag in quotation marks or backticks is a quotation.
"""

from __future__ import annotations

import re

REASONING = (
    r"(?:[\w-]{1,30}[:_])?(?:(?:ant)?think(?:ing)?|thoughts?|reason|reasoning|reflect|reflection|analysis|scratchpad"
    r"|rationale|monologue|cot|chain[_-]of[_-]thought|plan|planning|explanation|tool_call|function_call)"
)

REASONING_BEGINS = re.compile(
    rf"(?<![`'\"“‘])(?:<\s?{REASONING}(?:\s{{1,9}}[\w-]{{1,30}}\s?=[^<>\n]{{0,200}})?\s?>|&lt;{REASONING}&gt;|\[THINK(?:ING)?\]|◁think▷|<\|START_THINKING\|>"
    r"|<\|begin_of_thought\|>|<\|inner_prefix\|>|<\|channel>\s*thought|<unused94>\s*thought)",
    re.IGNORECASE,
)

REASONING_ENDS = re.compile(
    rf"(?<![`'\"“‘])(?:<\s?/\s?{REASONING}\s{{0,20}}>|&lt;/{REASONING}&gt;|\[/THINK(?:ING)?\]|◁/think▷|<\|END_THINKING\|>"
    r"|<\|end_of_thought\|>|<\|inner_suffix\|>|<channel\|>|<unused95>)",
    re.IGNORECASE,
)

ROLE_BEGINS = re.compile(
    r"(?:\s|\ufeff|<s>(?=\s)|<bos>|<\|begin_of_text\|>|<\|startoftext\|>|<｜begin▁of▁sentence｜>"
    r"|<\|im_start\|>(?:assistant\b)?|<\|start\|>(?:assistant\b)?|<\|start_header_id\|>assistant<\|end_header_id\|>"
    r"|<start_of_turn>(?:model\b)?"
    r"|<\|turn>(?:model\b)?|<\|(?:assistant|model)\|>|<｜Assistant｜>|<\|START_OF_TURN_TOKEN\|>|<\|CHATBOT_TOKEN\|>"
    r"|<\|START_RESPONSE\|>|<\|START_TEXT\|>|<\|begin_of_solution\|>|assistant(?=\s{1,9}<think))*",
    re.IGNORECASE,
)

NEXT_TURN = re.compile(
    r"(?:<\|im_end\|>|<\|eot_id\|>|<\|eot\|>|<end_of_turn>|<turn\|>|<\|end\|>|<\|endoftext\|>|</s>)\s*"
    r"(?:<\|im_start\|>|<\|start_header_id\|>|<\|header_start\|>|<start_of_turn>|<\|turn>|<\|start\|>"
    r"|<\|(?:user|system|assistant)\|>|\[INST\])"
)

TURN_ENDS = (
    "</s>",
    "<eos>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eot|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<turn|>",
    "<|end|>",
    "<|return|>",
    "<|user|>",
    "<|im_start|>",
    "<|END_RESPONSE|>",
    "<|END_TEXT|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|end_of_solution|>",
    "<|endofturn|>",
    "<|end_of_turn|>",
    "<|end_of_role|>",
    "<｜end▁of▁sentence｜>",
    "[EOS]",
    "[e~[",
)

BARE_CHANNEL = re.compile(r"analysis(?=[A-Z'\"“]|:?\s[^\n]*assistantfinal)|assistant(?:analysis|final)")

BARE_FINAL = re.compile(r"(?:(?<![^\W_])|(?<=[.!?]))assistantfinal(?=\S|\s*\n)")

GRANITE_BEGINS = re.compile(r"Here(?:'s| is) my thought process:")

GRANITE_ENDS = re.compile(r"Here(?:'s| is) my response:")

CHANNEL = re.compile(r"<\|channel\|>\s{0,9}(\w{1,20})[^<]{0,200}(?:<\|constrain\|>[^<]{0,200})?<\|message\|>")

CHANNEL_AFTER_ANOTHER = re.compile(rf"<\|end\|>\s{{0,9}}(?:<\|start\|>\w{{1,20}})?{CHANNEL.pattern}")

THOUGHTS_FOLDED = re.compile(
    r"\s{0,99}<details[^<>]{0,99}>\s{0,9}<summary>[^<>]{0,40}(?:think|thought|reason|analysis)[^<>]{0,60}</summary>",
    re.IGNORECASE,
)

QUOTED_LINES = re.compile(r"(?:[ \t]*>[^\n]*(?:\n|\Z))+\s*")

SAID_IN_TAGS = re.compile(
    r"\s{0,99}<(?:plan|planning|explanation|rationale|reason|reflect|tool_call|function_call)\b", re.IGNORECASE
)

NOT_SPACE = re.compile(r"\S")

MESSAGE_ENDS = re.compile(r"<\|(?:end|return|call)\|>")

LONGEST_RESPONSE = 1_000_000

LONGEST_TEXT = 100_000


def final_part(text: str, *, quotes_tags: bool = False) -> str | None:
    """What follows the reasoning in a response, without leaked tokens around it; None where reasoning never ends.

    A response of more than `LONGEST_RESPONSE` characters is not read, and a label or a number is looked for in at most
    `LONGEST_TEXT`: a server could hold up a study with them.

    Args:
        text: the response.
        quotes_tags: whether the answer itself may quote a block of reasoning after other words, as free text may. A
            label or a number may not: for them nothing before the last end of reasoning is an answer.

    >>> final_part("<think>Negative? No.</think> positive</s>"), final_part("<think>Negative? But")
    ('positive', None)
    """
    if len(text) > LONGEST_RESPONSE:
        return None
    led = without_role(text)
    if led.startswith("<|channel|>") or CHANNEL_AFTER_ANOTHER.search(led):
        part = final_channel(led)
    elif BARE_CHANNEL.match(led) or BARE_FINAL.search(led):
        part = led.rpartition("assistantfinal")[2] if "assistantfinal" in led else None
    elif GRANITE_BEGINS.match(led):
        ends = list(GRANITE_ENDS.finditer(led))
        part = led[ends[-1].end() :] if ends else None
    elif THOUGHTS_FOLDED.match(led):
        part = led.rpartition("</details>")[2] if "</details>" in led else None
    else:
        part = after_tags(led, quotes_tags=quotes_tags)
        if quotes_tags and SAID_IN_TAGS.match(led) and not (part and part.strip()):
            part = led
        quotation = None if quotes_tags or part is None else QUOTED_LINES.match(part)
        if part and quotation and part[quotation.end() :].strip():
            part = part[quotation.end() :]
    if part is None:
        return None
    return without_turn_end(part if part == text else without_role(part).lstrip())


def without_role(text: str) -> str:
    """The text without tokens that begin a turn; only white space before the text is left as it is."""
    begin = ROLE_BEGINS.match(text)
    return text[begin.end() :] if begin and begin.group().strip() else text


def final_channel(text: str) -> str | None:
    """The last message of the channel ``final``, or text that follows all messages; None without either."""
    headers = list(CHANNEL.finditer(text))
    for header in reversed(headers):
        if header.group(1).lower() == "final":
            end = MESSAGE_ENDS.search(text, header.end())
            return text[header.end() : end.start() if end else len(text)]
    ends = list(MESSAGE_ENDS.finditer(text))
    rest = text[ends[-1].end() :] if headers and ends and ends[-1].start() > headers[-1].start() else ""
    return rest if rest.strip() and "<|" not in rest else None


def after_tags(text: str, *, quotes_tags: bool) -> str | None:
    """The last text outside of tags of reasoning, None where a tag is never closed."""
    tags = [(tag, True) for tag in REASONING_BEGINS.finditer(text)]
    tags += [(tag, False) for tag in REASONING_ENDS.finditer(text)]
    tags.sort(key=lambda pair: pair[0].start())
    outside: list[str] = []
    thinking, begin, begin_of_tag, quoted = bool(tags) and not tags[0][1], 0, 0, 0
    # What stands before a tag is copied only where it is kept: thousands of tags may follow the same beginning.
    word = NOT_SPACE.search(text)
    for tag, opens in tags:
        if opens and not thinking:
            if quotes_tags and word and word.start() < tag.start():
                quoted += 1
                continue
            outside.append(text[begin : tag.start()])
            thinking, begin_of_tag = True, tag.start()
        elif not opens and quoted:
            quoted -= 1
        elif not opens:
            if not thinking:
                outside.append(text[begin : tag.start()])
            thinking, begin = False, tag.end()
            word = NOT_SPACE.search(text, begin)
    if thinking:
        # An explanation that is cut off follows its answer; reasoning that is cut off precedes it.
        explains = outside and outside[-1].strip() and SAID_IN_TAGS.match(text, begin_of_tag)
        return outside[-1] if explains else None
    outside.append(text[begin:])
    return next((part for part in reversed(outside) if part.strip()), outside[-1])


def without_turn_end(text: str) -> str:
    """The text up to the end of the model's turn: without tokens that end it, and without a turn that follows."""
    turn = NEXT_TURN.search(text)
    end = turn.start() if turn else len(text)
    # HTML has a tag that looks like the end of a turn.
    tokens = [token for token in TURN_ENDS if token != "</s>" or "<s>" not in text]
    while True:
        stop = end
        while stop and text[stop - 1].isspace():
            stop -= 1
        token = next((token for token in tokens if text.endswith(token, 0, stop)), None)
        if token is None:
            return text[:end]
        end = stop - len(token)
