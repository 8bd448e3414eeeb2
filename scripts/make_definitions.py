"""Instructions out of Debian's wordnet-base: "Define the noun …" and the dictionary's answer.

    python3 scripts/make_definitions.py [FOLDER]          (default build/data/definitions; one second)

Writes FOLDER/train.jsonl and FOLDER/eval.jsonl for `type = chat_template`; the same bytes each time.  Words that share an
entry go to the same side, so that neither an evaluation word nor its definition is ever seen in training.
"""
import json
import random
import sys
from pathlib import Path

WORDNET = Path("/usr/share/wordnet")
EVALUATION_SHARE = 0.04
LONGEST = 120  # characters of a definition


def read_definitions():
    """Offset of an entry in data.noun → its definition without the examples."""
    definitions = {}
    for line in (WORDNET / "data.noun").read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):  # the licence
            fields, _, gloss = line.partition(" | ")
            definitions[fields[:8]] = gloss.split('; "')[0].strip()
    return definitions


def read_nouns():
    """(word, offset of its first meaning) of the nouns common enough to occur in WordNet's annotated texts."""
    for line in (WORDNET / "index.noun").read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            fields = line.split()
            word, senses, pointers = fields[0], int(fields[2]), int(fields[3])
            if int(fields[5 + pointers]) > 0 and word.isalpha() and len(word) > 2:
                yield word, fields[-senses]


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "build/data/definitions")
    if not WORDNET.is_dir():
        sys.exit(f"no {WORDNET}; scripts/setup.sh installs it (Debian's wordnet-base)")
    definitions = read_definitions()
    nouns = [(word, offset) for word, offset in read_nouns() if len(definitions[offset]) <= LONGEST]
    rng = random.Random(2006)
    rng.shuffle(nouns)
    entries = sorted({offset for _, offset in nouns})
    unseen = set(rng.sample(entries, int(EVALUATION_SHARE * len(entries))))
    folder.mkdir(parents=True, exist_ok=True)
    for name, wanted in (("train", False), ("eval", True)):
        lines = [json.dumps({"messages": [{"role": "user", "content": f"Define the noun {word}."},
                                          {"role": "assistant", "content": definitions[offset]}]})
                 for word, offset in nouns if (offset in unseen) == wanted]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{folder}/{name}.jsonl: {len(lines)} definitions")


if __name__ == "__main__":
    main()
