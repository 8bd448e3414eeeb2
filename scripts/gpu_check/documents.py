"""Data of the benchmark: random tokens, in documents as long as a sequence and in documents of realistic lengths; and jobs
with such data."""
import json
import math
import random

from reference_cases import write_job

from .shapes import LORA_R

MEDIAN, SIGMA, SHORTEST = 400, 1.0, 16  # tokens; log-normal, as lengths of chats and instructions are
WORST_FILL = 0.9                        # of a packed sequence that is taken


class Documents:
    """Rows of a data set of type tokenized; the same ones each time."""

    def __init__(self, vocabulary, sequence_len):
        self.vocabulary = vocabulary
        self.sequence_len = sequence_len
        self.random = random.Random(1)

    def full(self, sequences):
        """Documents that fill a sequence each."""
        return [self.sequence_len] * sequences

    def packed(self, sequences):
        """Documents that fill so many sequences, packed as the trainer packs them (first-fit-decreasing) and in the order
        of the sequences, so that a job that keeps the order of the file makes the same ones out of them."""
        bins = []
        while sum(map(self._is_full, bins)) < sequences:
            bins = self._pack(sorted((self._length() for _ in range(len(bins) * 12 + sequences * 12)), reverse=True))
        return [length for each in self._chosen(bins, sequences) for length in each]

    def _length(self):
        length = int(self.random.lognormvariate(math.log(MEDIAN * self.sequence_len / 4096), SIGMA))
        return min(max(length, min(SHORTEST, self.sequence_len // 8)), self.sequence_len)

    def _pack(self, lengths):
        bins, room = [], []
        for length in lengths:
            place = next((i for i, left in enumerate(room) if left >= length), None)
            if place is None:
                bins.append([])
                room.append(self.sequence_len)
                place = len(bins) - 1
            bins[place].append(length)
            room[place] -= length
        return bins

    def _is_full(self, documents):
        return sum(documents) >= WORST_FILL * self.sequence_len

    def _chosen(self, bins, sequences):
        full = [each for each in bins if self._is_full(each)]
        self.random.shuffle(full)
        return full[:sequences]

    def write(self, path, lengths):
        with open(path, "w", encoding="utf-8") as file:
            for length in lengths:
                file.write(json.dumps({"input_ids": self.random.choices(range(self.vocabulary), k=length)}) + "\n")
        return path


def write_random_job(folder, shape, lengths, settings):
    """job.ini in a new folder: trains the shape from random weights with documents of these lengths, in their order."""
    folder.mkdir(parents=True)
    documents = Documents(shape.of("vocab_size"), shape.sequence_len)
    write_job(folder / "job.ini", {
        "job.output_dir": folder,
        "model.base": shape.write(folder / "model"),
        "model.init": "random",
        "model.precision": "bf16",
        "model.gradient_checkpointing": shape.checkpointing,
        "data.sequence_len": shape.sequence_len,
        "data.shuffle": "false",
        "dataset.random.path": documents.write(folder / "rows.jsonl", lengths),
        "dataset.random.type": "tokenized",
        "train.micro_batch_size": shape.micro_batch,
        "train.gradient_accumulation_steps": shape.accumulation,
        "train.learning_rate": "1e-5",
        "train.lr_scheduler": "constant",
        "checkpoint.export": "never",
        "checkpoint.resume": "never",
        "log.tensorboard": "false",
        **({"adapter.type": "lora", "adapter.lora_r": LORA_R, "adapter.lora_alpha": 2 * LORA_R} if shape.adapter else {}),
        **({"model.quantization": "nf4"} if shape.adapter == "QLoRA" else {}),
        **settings})
    return folder / "job.ini"
