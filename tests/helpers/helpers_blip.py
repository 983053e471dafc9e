"""A tiny BLIP with random weights in the published layout."""

from __future__ import annotations

from pathlib import Path

from v2a_core.compute.torchvision_import import prepare_torchvision

prepare_torchvision()

WORDS = ["a", "dog", "barks", "in", "the", "rain", "red", "bell", "rings", "drum", "[unused0]"]


def save_blip(folder: Path) -> str:
    import torch
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor

    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    text = {
        "vocab_size": len(tokens), "hidden_size": 32, "encoder_hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64, "projection_dim": 16,
        "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 16, "projection_dim": 16,
    }  # fmt: skip
    torch.manual_seed(1)
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16, image_text_hidden_size=16)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


def save_blip_vision(folder: Path) -> str:
    """A tiny BLIP of image-text retrieval: 24 numbers an embedding, pictures of 96 x 96."""
    import torch
    from transformers import BlipConfig, BlipForImageTextRetrieval

    text = {"vocab_size": 20, "hidden_size": 32, "encoder_hidden_size": 32, "intermediate_size": 64,
            "num_hidden_layers": 1, "num_attention_heads": 2, "bos_token_id": 2, "sep_token_id": 3}  # fmt: skip
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 96, "patch_size": 16}  # fmt: skip
    torch.manual_seed(1)
    model = BlipForImageTextRetrieval(BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=24))
    with torch.no_grad():  # at the usual scale of fresh weights so small a network tells no pictures apart
        for parameter in model.vision_model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(std=parameter[0].numel() ** -0.5)
    model.save_pretrained(folder)
    return str(folder)
