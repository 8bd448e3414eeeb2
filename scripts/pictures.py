"""Draws the pictures of the README, a loss curve and a terminal, as SVG from a recorded run.

    script -qefc 'stty cols 110; make demo' demo.txt
    scripts/pictures.py 'make demo' build/demo/metrics.jsonl demo.txt      (writes docs/pictures/loss.svg and terminal.svg)

`script` records what a terminal of 110 columns shows.  The first argument is the command that the picture shows.  The committed
pictures are those of docs/pictures/stories.ini:

    scripts/pictures.py 'mpirun -n 2 ./train stories.ini' docs/pictures/stories.jsonl docs/pictures/stories.txt
"""
import json
import re
import sys
from pathlib import Path
from xml.sax.saxutils import escape

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
COLUMNS = 110


def ticks(low, high, count):
    """About `count` round numbers from low to high."""
    step = min((m * 10.0**e for e in range(-3, 5) for m in (1, 2, 5)), key=lambda s: abs((high - low) / s - count))
    value = -(-low // step) * step + 0.0
    while value <= high + 1e-9:
        yield round(value, 6) + 0.0
        value += step


def loss_curve(rows):
    """An SVG of the training loss per step and of the evaluation loss."""
    train = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    evaluation = [(row["step"], row["eval_loss"]) for row in rows if "eval_loss" in row]
    width, height, left, right, top, bottom = 760, 360, 56, 20, 44, 48
    last = max(step for step, _ in train + evaluation)
    values = [loss for _, loss in train + evaluation]
    low, high = min(values) - 0.1, max(values) + 0.1

    def x(step):
        return left + (width - left - right) * step / last

    def y(loss):
        return height - bottom - (height - top - bottom) * (loss - low) / (high - low)

    def text(at_x, at_y, words, anchor="middle", size=13, fill="#444"):
        return f'<text x="{at_x:.1f}" y="{at_y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}">{escape(words)}</text>'

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
             'font-family="Helvetica, Arial, sans-serif">',
             f'<rect width="{width}" height="{height}" rx="6" fill="#ffffff" stroke="#d0d0d0"/>']
    for loss in ticks(low, high, 6):
        parts.append(f'<line x1="{left}" x2="{width - right}" y1="{y(loss):.1f}" y2="{y(loss):.1f}" stroke="#e4e4e4"/>')
        parts.append(text(left - 8, y(loss) + 4, f"{loss:g}", "end"))
    for step in ticks(0, last, 6):
        parts.append(text(x(step), height - bottom + 18, f"{step:g}"))
    parts.append(text((left + width - right) / 2, height - 10, "step"))
    line = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in train)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#7aa6d8" stroke-width="2"/>')
    line = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in evaluation)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#c2571a" stroke-width="2" stroke-dasharray="5 4"/>')
    for step, loss in evaluation:
        parts.append(f'<circle cx="{x(step):.1f}" cy="{y(loss):.1f}" r="4.5" fill="#c2571a"/>')
        above = y(loss) - 10 if y(loss) - 10 > top else y(loss) + 20
        anchor, shift = ("start", 8) if step == 0 else ("end", -4) if step == last else ("middle", 0)
        parts.append(text(x(step) + shift, above, f"{loss:.2f}", anchor, 13, "#c2571a"))
    for place, colour, words in ((left, "#7aa6d8", "training loss"), (left + 150, "#c2571a", "evaluation loss")):
        parts.append(f'<rect x="{place}" y="18" width="16" height="4" fill="{colour}"/>')
        parts.append(text(place + 22, 25, words, "start"))
    return "\n".join(parts + ["</svg>"]) + "\n"


def screen(recording):
    """The lines that a terminal shows at the end: carriage returns overwrite, escape sequences, `script`'s own lines and the
    folder of the run do not show."""
    lines, column = [""], 0
    for character in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", recording.replace("\r\n", "\n")):
        if character == "\n":
            lines.append("")
            column = 0
        elif character == "\r":
            column = 0
        elif character >= " ":
            lines[-1] = lines[-1][:column].ljust(column) + character + lines[-1][column + 1:]
            column += 1
    lines = [re.sub(r"(?<= )/\S*/(?=(?:build|out)/)", "", line.rstrip()) for line in lines
             if not re.match(r"Script (started|done) on|ninja:|\[\d+/\d+\]", line)]
    return [line[begin:begin + COLUMNS] for line in lines for begin in range(0, max(len(line), 1), COLUMNS)]


def terminal(lines, command):
    """An SVG of a terminal with the command and what it printed."""
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    size, step, margin = 14, 19, 16
    advance = 0.602 * size
    width, height = round(2 * margin + COLUMNS * advance), 2 * margin + 24 + (len(lines) + 1) * step
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
             f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{size}">',
             f'<rect width="{width}" height="{height}" rx="8" fill="#1f2430" stroke="#3b4252"/>']
    for i, colour in enumerate(("#e06c75", "#e5c07b", "#98c379")):
        parts.append(f'<circle cx="{margin + 6 + 18 * i}" cy="{margin}" r="5.5" fill="{colour}"/>')
    for i, line in enumerate(["$ " + command] + lines):
        bold = ' font-weight="bold"' if i == 0 else ""
        fill = "#98c379" if i == 0 or line.startswith("#") else "#8a93a6" if line.startswith("    before:") else "#d8dee9"
        if line:
            length = f' textLength="{len(line) * advance:.1f}" lengthAdjust="spacingAndGlyphs"'
            parts.append(f'<text x="{margin}" y="{margin + 30 + i * step}" fill="{fill}"{bold}{length} '
                         f'xml:space="preserve">{escape(line)}</text>')
    return "\n".join(parts + ["</svg>"]) + "\n"


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    command, metrics, recording = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "loss.svg").write_text(loss_curve(rows))
    (PICTURES / "terminal.svg").write_text(terminal(screen(recording.read_bytes().decode()), command))


main()
