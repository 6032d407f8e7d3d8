"""What a request may cost the engine, as far as its body tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

BYTES_PER_TOKEN: Final = 4
"""An estimate: text has some 4 bytes of UTF-8 a token in common vocabularies. The engine alone knows the tokens."""
PROMPT_FIELDS: Final = (
    "prompt", "suffix", "messages", "input", "instructions", "system", "tools", "documents", "query", "queries",
    "text_1", "text_2",
)  # fmt: skip
OUTPUT_FIELDS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests of the engine, and tokens."""

    requests: int
    prompt_tokens: int
    """Estimated from the length of texts; lists of token ids are counted."""
    output_tokens: int
    """As many as are asked for, of all answers together; 0 where the body does not say."""

    @property
    def tokens(self) -> int:
        """What the limits of tokens per minute count."""
        return self.prompt_tokens + self.output_tokens


def cost_of(body: Mapping[str, Any], output_tokens: int | None) -> Cost:
    """Return the cost of a body whose numbers have been checked, with at most so many output tokens an answer."""
    answers = body.get("n") or 1
    prompts = _prompts(body.get("prompt"))
    requests = answers * prompts
    prompt_tokens = answers * sum(tokens_of(body[name]) for name in PROMPT_FIELDS if name in body)
    return Cost(requests, prompt_tokens, requests * (output_tokens or 0))


def _prompts(prompt: object) -> int:
    """Return how many prompts stand in the field of completions: a list of texts or of lists is several."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        return len(prompt)
    return 1


def tokens_of(value: object) -> int:
    """Return the tokens of a text, of token ids, or of all texts within. Pictures and sound in data URLs count none."""
    text_bytes, tokens, pending = 0, 0, [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            text_bytes += 0 if one.startswith("data:") else _utf8_bytes(one)
        elif isinstance(one, Mapping):
            pending.extend(content for key, content in one.items() if key not in {"data", "file_data"})
        elif isinstance(one, list):
            if one and isinstance(one[0], int):
                tokens += len(one)
            else:
                pending.extend(one)
    return tokens - (-text_bytes // BYTES_PER_TOKEN)


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
