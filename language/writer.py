"""Passages worded as answers by a user's generative checkpoint, and whether what it says stands in the passage."""

import re

from ..device import device_of
from ..errors import FieldError
from .retrieval import terms
from .text import clean, is_han, language

SERVICE = "service.json"  # beside a saved classifier of intents: the name of its writer
_LONGEST = 1024  # tokens of the prompt
_SHARED = 0.8  # of a sentence's words that are to stand in the passage's sentence that is nearest to it
_SENTENCES = re.compile(r"(?<=[.!?;。!?;,,])\s{0,9}")
_NEGATIONS = re.compile(r"\b(?:not|no|never|none|cannot|neither|nor|without)\b|n't\b|[不没无未非]", re.I)
_LITTLE = set(  # words that carry no fact
    terms(
        "a an the is are was were be been it its this that these those they them their you your we our i my and or of "
        "to in on at for with by as from can may will would do does so"
    )
)
_ASK = {
    "en": "Answer the question in one or two sentences, only with what the passage says.\nPassage: {passage}\n"
    "Question: {question}\nAnswer:",
    "zh": "只根据资料用一两句话回答问题。\n资料:{passage}\n问题:{question}\n回答:",
}


class Writer:
    """A causal or sequence-to-sequence model of transformers, by hub name or folder: safetensors, no remote code.

    It decodes greedily: the same question and passage give the same words.
    """

    def __init__(self, name: str, tokens: int = 80, device: str = "auto"):
        """`tokens`: of an answer, at most. Raises ValueError where there is no model that is safe to load."""
        import torch
        from safetensors import SafetensorError
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

        if not 1 <= tokens <= 1000:
            raise FieldError("tokens", tokens, "a whole number from 1 to 1000")
        safe = {"trust_remote_code": False}
        try:
            config = AutoConfig.from_pretrained(name, **safe)
            kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
            model = kind.from_pretrained(name, use_safetensors=True, dtype=torch.float32, **safe)
            self.tokenizer = AutoTokenizer.from_pretrained(name, **safe)
        except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise FieldError("writer", name, f"a hub name or a folder of a generative model; {reason}") from None
        self.model, self.tokens = model.to(device_of(device)).eval(), tokens

    def __call__(self, question: str, passage: str) -> str | None:
        """An answer to the question from the passage; None where the model says what is not in it."""
        import torch

        said = self.prompt(question, passage)
        if getattr(self.tokenizer, "chat_template", None):
            turns = [{"role": "user", "content": said}]
            said = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        asked = self.tokenizer(said, return_tensors="pt", truncation=True, max_length=_LONGEST)
        given = {name: asked[name].to(self.model.device) for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            (row,) = self.model.generate(
                **given, max_new_tokens=self.tokens, do_sample=False, pad_token_id=self.tokenizer.pad_token_id
            )
        start = 0 if self.model.config.is_encoder_decoder else given["input_ids"].shape[1]
        (text,) = clean([self.tokenizer.decode(row[start:], skip_special_tokens=True)])
        return text if grounded(text, passage) else None

    @staticmethod
    def prompt(question: str, passage: str) -> str:
        return _ASK["zh" if language(question) == "zh" else "en"].format(question=question, passage=passage)


def grounded(text: str, passage: str) -> bool:
    """Whether each sentence of a text says what a sentence of the passage says, as far as words can show it.

    Its words, but for the little ones, are mostly that sentence's, its numbers are all the passage's, and it denies
    where that sentence does.
    """
    sentences = [part for part in _SENTENCES.split(passage) if _facts(part)]
    said = [part for part in _SENTENCES.split(text) if _facts(part)]
    numbers = set(re.findall(r"\d{1,20}", passage))
    return bool(said) and all(
        set(re.findall(r"\d{1,20}", part)) <= numbers and any(_says(part, sentence) for sentence in sentences)
        for part in said
    )


def _facts(text: str) -> set[str]:
    return {word.removesuffix("s") if not is_han(word[0]) else word for word in terms(text) if word not in _LITTLE}


def _says(part: str, sentence: str) -> bool:
    words = _facts(part)
    shared = len(words & _facts(sentence)) / len(words)
    return shared >= _SHARED and bool(_NEGATIONS.search(part)) == bool(_NEGATIONS.search(sentence))
