"""A causal model of transformers that answers here: by folder or hub name, safetensors, without code of its own."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ...device import device_of
from ...errors import FieldError
from .params import LLMParams
from .replies import CALLS, Answer, in_text

HOW = (
    "Call a tool by a line of JSON, several for several calls, the last one for end_period:\n"
    '{"name": "end_period", "arguments": {}}\nThe tools: '
)
Messages = list[dict[str, Any]]


class Local:
    """A causal model and its tokenizer; batches are padded on the left, and decoded greedily at temperature 0.

    Where the tokenizer has a chat template, it lays out the turns and the tools; else they are plain text. A prompt
    that is longer than the model's context loses its oldest tokens.
    """

    def __init__(self, params: LLMParams):
        """Raises FieldError where there is no model that is safe to load, ImportError without transformers."""
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.params, safe = params, {"trust_remote_code": False}
        try:
            model = AutoModelForCausalLM.from_pretrained(params.model, use_safetensors=True, **safe)
            self.tokenizer: Any = AutoTokenizer.from_pretrained(params.model, **safe)
        except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
            reason = str(error).strip().partition("\n")[0]
            expected = f"a folder or hub name of a causal model in safetensors, or base_url=URL; {reason}"
            raise FieldError("model", params.model, expected) from None
        self.model: Any = model
        self.model.to(device_of("auto")).eval()
        torch.manual_seed(0)
        self.tokenizer.padding_side = self.tokenizer.truncation_side = "left"
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        longest = getattr(model.config, "max_position_embeddings", None) or self.tokenizer.model_max_length
        self._longest = min(int(longest), 1_000_000) - params.answer_tokens
        if self._longest < 1:
            raise FieldError("answer_tokens", params.answer_tokens, f"less than the model's context, {longest}")

    def ask(self, questions: Sequence[Messages], tools: list[dict[str, Any]]) -> Iterator[tuple[int, Answer]]:
        """Yield each question's place and its answer, a batch of `concurrency` of them at a time."""
        size = self.params.concurrency
        for first in range(0, len(questions), size):
            part = questions[first : first + size]
            yield from enumerate(self._batch([self._prompt(messages, tools) for messages in part]), first)

    def cleaned(self, answer: Answer) -> Answer:
        """Return the answer: there is no key."""
        return answer

    def _prompt(self, messages: Messages, tools: list[dict[str, Any]]) -> str:
        if getattr(self.tokenizer, "chat_template", None):
            return self.tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=True)
        said = [f"{turn['role']}: {turn.get('content') or ''}" for turn in messages]
        said.insert(1, HOW + json.dumps([tool["function"] for tool in tools]))
        return "\n\n".join([*said, "assistant:"])

    def _batch(self, prompts: list[str]) -> list[Answer]:
        import torch

        p, began = self.params, time.monotonic()
        asked = self.tokenizer(prompts, return_tensors="pt", padding=True, truncation=True, max_length=self._longest)
        given = {name: asked[name].to(self.model.device) for name in ("input_ids", "attention_mask")}
        sampled = {"do_sample": True, "temperature": p.temperature} if p.temperature else {"do_sample": False}
        with torch.inference_mode():
            rows = self.model.generate(
                **given, **sampled, max_new_tokens=p.answer_tokens, pad_token_id=self.tokenizer.pad_token_id
            )
        seconds, answers = (time.monotonic() - began) / len(prompts), []
        for row, mask in zip(rows[:, given["input_ids"].shape[1] :], given["attention_mask"], strict=True):
            text = self.tokenizer.decode(row, skip_special_tokens=True)
            count = int((row != self.tokenizer.pad_token_id).sum())
            answers.append(Answer(text, in_text(text)[:CALLS], False, int(mask.sum()), count, seconds))
        return answers
