"""Our messages as Anthropic's: `system`, and turns of `user` and `assistant`.

    system, developer         → joined into `system`, in their order; where a model takes them anywhere and the place is
                                one that the API allows (between a user's turn and the assistant's, or at the end),
                                they stay where they were said
    tool, tool, user          → one `user` turn, tool results first
    assistant at the end      → goes first in the answer (prefill); white space at its end is refused, so it goes

Turns of one role may follow each other: the API joins them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hoosh.dialects.anthropic.blocks import block_of, unsupported
from hoosh.dialects.anthropic.wire import (
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from hoosh.values import Message, OpaquePart, Role, TextPart

__all__ = ["breaks_thought", "turns_of"]

SYSTEM = (Role.SYSTEM, Role.DEVELOPER)


def turns_of(messages: Sequence[Message], *, system_anywhere: bool) -> tuple[list[TextBlock], list[dict[str, Any]]]:
    """The blocks of `system`, and `messages`."""
    system: list[TextBlock] = []
    turns: list[dict[str, Any]] = []
    for at, message in enumerate(messages):
        if message.role in SYSTEM:
            texts = _texts(message)
            if system_anywhere and _may_stand_here(turns, messages[at + 1 :]):
                turns.append({"role": "system", "content": texts})
            else:
                system += texts
        else:
            _add(turns, message)
    turns = [turn for turn in turns if turn["content"]]
    _trim_prefill(turns)
    return system, turns


def _may_stand_here(turns: Sequence[dict[str, Any]], rest: Sequence[Message]) -> bool:
    """One or several, right after a user's turn, and before the assistant's or the end."""
    follower = next((message.role for message in rest if message.role not in SYSTEM), Role.ASSISTANT)
    return bool(turns) and turns[-1]["role"] in ("user", "system") and follower is Role.ASSISTANT


def _texts(message: Message) -> list[TextBlock]:
    """Or blocks that Anthropic alone knows, such as `tool_addition`."""
    blocks = []
    for part in message.parts:
        if not isinstance(part, TextPart | OpaquePart):
            raise unsupported(f"A {message.role} message with anything but text", "messages")
        if (block := block_of(part)) is not None:
            blocks.append(block)
    return blocks


def _add(turns: list[dict[str, Any]], message: Message) -> None:
    blocks = [block for part in message.parts if (block := block_of(part)) is not None]
    if message.role is Role.ASSISTANT:
        turns.append({"role": "assistant", "content": blocks})
        return
    if turns and turns[-1]["role"] == "user":
        content = turns[-1]["content"]
        results = [block for block in content if isinstance(block, ToolResultBlock)]
        if message.role is Role.TOOL and (results or not content):
            content[len(results) : len(results)] = blocks
            return
        if results and len(results) == len(content):
            content += blocks
            return
    turns.append({"role": "user", "content": blocks})


def _trim_prefill(turns: list[dict[str, Any]]) -> None:
    if not turns or turns[-1]["role"] != "assistant":
        return
    content = turns[-1]["content"]
    if isinstance(content[-1], TextBlock):
        content[-1].text = content[-1].text.rstrip()
        if not content[-1].text:
            content.pop()
    if not content:
        turns.pop()


def breaks_thought(turns: Sequence[dict[str, Any]]) -> bool:
    """The conversation is in the middle of tool calls whose thoughts are not here (another model thought them).

    With a thinking budget the API then refuses: the assistant's last turn has to begin with a thought.
    """
    assistant: list[Any] = next((turn["content"] for turn in reversed(turns) if turn["role"] == "assistant"), [])
    calls = any(isinstance(block, ToolUseBlock) for block in assistant)
    is_going_on = bool(turns) and any(isinstance(block, ToolResultBlock) for block in turns[-1]["content"])
    return calls and is_going_on and not isinstance(assistant[0], ThinkingBlock | RedactedThinkingBlock)
