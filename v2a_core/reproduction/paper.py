"""What the paper publishes: the tables as data, with a number only where it is known for certain.

V2A-Mapper: A Lightweight Solution for Vision-to-Audio Generation by Connecting Foundation Models, AAAI 2024,
arXiv 2308.09300. Table 1 is read from the picture of it in the authors' repository of test samples, heng-hw/V2A-Mapper.
Of tables 3 to 7 the numbers are those of the paper's text and tables as far as they were noted here; what was not noted
is left out, never guessed. Table 2 is a listening test: `v2a listening` makes and scores one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Where = Literal["videos", "pictures", "work"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: For machines.
        title: As the paper calls it.
        better: Which values are better.
        where: What it is measured on: the videos, the pictures, or the work that it took.
        metrics: Of a comparison of systems, those that measure it; the first that was measured counts.
        stand_ins: What stands in for them where none of them was measured.
        digits: After the point.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    where: Where
    metrics: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    digits: int = 3


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: Of the system, the same in every table.
        title: As the paper calls it.
        paper: What it publishes, by column; what is not in here is not known here.
        empty: Columns that it leaves empty.
    """

    name: str
    title: str
    paper: Mapping[str, float] = field(default_factory=dict)
    empty: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        number: The paper's.
        title: What it compares.
        columns, rows: In order.
    """

    number: int
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


# Which of its networks the paper's FD is of is not known: docs/paper.md. CLAP's distance stands in where there is none.
FD = Column("fd", "FD", "lower", "videos", ("fd_cnn14_32k", "fd_cnn14_16k"), ("clap_frechet",))
FAD = Column("fad", "FAD", "lower", "videos", ("fad_vggish",))
# What stands in for relevance: whether a judge of sounds hears the kind that is seen.
CS = Column("cs", "CS", "higher", "videos", ("cs_wav2clip",), ("class_accuracy",))
PICTURES_CS = Column("pictures_cs", "CS of pictures", "higher", "pictures", ("cs_wav2clip",), ("class_accuracy",))
SECONDS = Column("seconds", "inference, s", "lower", "work", digits=2)
PARAMETERS = Column("parameters", "trainable, M", "lower", "work", digits=2)
GENERATOR_SECONDS = Column("generator_seconds", "generator, s", "lower", "work", digits=2)
GENERATOR_PARAMETERS = Column("generator_parameters", "generator, M", "lower", "work", digits=2)

REFERENCE = "reference"
OURS = "ours"
EXTERNAL = ("im2wav", "clipsonic-iq")  # systems of others: made by their programs, scored from their files

_QUALITY = (FD, CS, PICTURES_CS)
_OURS = {"fd": 24.168, "cs": 9.720, "pictures_cs": 11.950}
_NO_MAPPER = {"fd": 72.527, "cs": 5.258, "pictures_cs": 4.026}

TABLES: Mapping[int, Table] = {
    table.number: table
    for table in (
        Table(
            1,
            "The system and others",
            (FD, FAD, CS, PICTURES_CS, SECONDS, PARAMETERS),
            (
                Row(
                    REFERENCE,
                    "Reference",
                    {"fd": 0.0, "fad": 0.0, "cs": 8.925},
                    empty=("pictures_cs", "seconds", "parameters"),
                ),
                Row(
                    "im2wav",
                    "Im2Wav",
                    {"fd": 51.500, "fad": 6.005, "cs": 7.827, "pictures_cs": 9.843, "seconds": 864.12}
                    | {"parameters": 360.40},
                ),
                Row(
                    "clipsonic-iq",
                    "CLIPSonic-IQ",
                    {"fd": 27.124, "fad": 3.495, "cs": 7.251, "pictures_cs": 11.392, "seconds": 53.94}
                    | {"parameters": 142.58},
                ),
                Row(OURS, "V2A-Mapper", {**_OURS, "fad": 0.841, "seconds": 35.45, "parameters": 48.83}),
            ),
        ),
        Table(
            3,
            "Ways from what is seen to the generator",
            _QUALITY,
            (
                Row("no-mapper", "no mapper", _NO_MAPPER),
                Row("via-text", "via text", {"fd": 56.397, "cs": 6.672, "pictures_cs": 7.310}),
                Row(OURS, "V2A-Mapper", _OURS),
            ),
        ),
        Table(
            4,
            "Mappers",
            _QUALITY,
            (
                Row("regression-mlp", "regression MLP", {"fd": 35.059, "cs": 9.927, "pictures_cs": 12.048}),
                Row(
                    "regression-transformer",
                    "regression Transformer",
                    {"fd": 29.378, "cs": 10.076, "pictures_cs": 12.317},
                ),
                Row("diffusion-mlp", "diffusion MLP", {"fd": 28.803, "cs": 8.685, "pictures_cs": 10.449}),
                Row(OURS, "diffusion Transformer", _OURS),
            ),
        ),
        Table(
            5,
            "How frames are aggregated",
            _QUALITY,
            (
                Row("random-frame", "random", {"fd": 24.826, "cs": 9.200, "pictures_cs": 11.465}),
                Row("middle-frame", "middle", {"fd": 25.569, "cs": 9.192, "pictures_cs": 11.901}),
                Row(OURS, "average", _OURS),
            ),
        ),
        Table(
            6,
            "What sees",
            _QUALITY,
            (
                Row("blip-no-mapper", "BLIP without a mapper", {"fd": 53.621, "cs": 4.948, "pictures_cs": 4.314}),
                Row("no-mapper", "CLIP without a mapper", _NO_MAPPER),
                Row("blip", "BLIP with a mapper", {"fd": 24.788, "cs": 9.402, "pictures_cs": 10.836}),
                Row(OURS, "CLIP with a mapper", _OURS),
            ),
        ),
        Table(
            7,
            "What sounds",
            (FD, GENERATOR_SECONDS, GENERATOR_PARAMETERS),
            (
                Row("audioldm-s", "AudioLDM-s", {"fd": 25.635, "generator_parameters": 185.04}),
                Row("audioldm-l", "AudioLDM-l", {"fd": 25.130, "generator_parameters": 739.14}),
                Row(
                    OURS,
                    "AudioLDM-s-v2",
                    {"fd": 24.168, "generator_seconds": 9.33, "generator_parameters": 185.04},
                ),
            ),
        ),
    )
}

FIGURES: Mapping[int, str] = {
    3: "The gap between what is seen and what is heard: the angle of pairs, before and after the mapper",
    4: "The same gap: where the embeddings lie",
    5: "Just meaningful differences in a listening test",
    7: "From one sound to another",
}
