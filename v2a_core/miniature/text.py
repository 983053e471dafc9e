"""The miniature's text side: the class of AudioLDM's CLAP text encoder at tiny size, and a tokenizer for any text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.miniature.seeded import seeded
from v2a_core.tables.schema import EMBEDDING_DIM

if TYPE_CHECKING:
    from transformers import ClapTextModelWithProjection, RobertaTokenizerFast

HIDDEN_SIZE = 96
# As many as RoBERTa has: AudioLDMPipeline pads the empty prompt to 512 tokens whatever the tokenizer's own limit.
MAX_TOKENS = 512
# Ids of <s>, <pad> and </s> are what ClapTextConfig takes for granted; <mask> comes last, as in RoBERTa.
LEADING_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
MERGES = 256

# What the byte-pair merges are learnt from: the words of sound captions. Any other text works, in more tokens.
CAPTIONS = (
    "the sound of a ball bouncing on the floor",
    "a drum is hit, hard and loud",
    "a bell rings softly in the distance",
    "a siren rises and falls in a city street",
    "rain falls on a metal roof, steady and quiet",
    "wind blows through trees",
    "an engine is running, slow, then fast",
    "a dog barks twice and birds are singing",
    "a person is talking while a crowd claps",
    "water is pouring, waves are crashing on a beach",
    "footsteps on gravel, a door closes",
    "high pitched beeps, a low humming noise",
    "a clock ticking, a whistle blowing",
    "fire crackling, thunder rolling",
    "someone is playing the guitar, the piano and the violin",
    "a video of something making a sound",
)


def build_text_encoder(seed: int) -> tuple[ClapTextModelWithProjection, RobertaTokenizerFast]:
    """A CLAP text encoder with seeded random weights, and its tokenizer.

    Args:
        seed: Seed of the weights; the global random state is left as it was.

    Returns:
        A model of 0.57 M parameters whose `text_embeds` are float32 (B, 512), not normalised, and a byte-level BPE
        that takes any text.
    """
    prepare_torchvision()
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    tokenizer = build_tokenizer()
    config = ClapTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN_SIZE,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * HIDDEN_SIZE,
        max_position_embeddings=MAX_TOKENS + 2,  # RoBERTa counts positions from the padding id + 1
        projection_dim=EMBEDDING_DIM,
    )
    with seeded(seed):
        model = ClapTextModelWithProjection(config)
        _spread(model)
    return model.eval(), tokenizer


def _spread(model: torch.nn.Module) -> None:
    """Larger weights than transformers' default of 0.02, with which all texts have a cosine of 0.99."""
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=1.5 * module.in_features**-0.5)
        elif isinstance(module, torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, std=0.5)


def build_tokenizer() -> RobertaTokenizerFast:
    """A tokenizer with a vocabulary of its own: all bytes, and the merges of `CAPTIONS`."""
    from transformers import RobertaTokenizerFast

    vocab, merges = _learn_merges()
    return RobertaTokenizerFast(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)


def _learn_merges() -> tuple[dict[str, int], list[tuple[str, str]]]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=len(LEADING_SPECIALS) + 256 + MERGES,
        special_tokens=list(LEADING_SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(CAPTIONS, trainer)
    learnt = json.loads(learner.to_str())["model"]
    vocab: dict[str, int] = learnt["vocab"]
    return {**vocab, "<mask>": len(vocab)}, [tuple(pair) for pair in learnt["merges"]]
