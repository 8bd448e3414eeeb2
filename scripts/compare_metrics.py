"""Holds the metrics of a run against a reference case:  compare_metrics.py metrics.jsonl expected.json [--precision bf16]

Every step has to be there once, with the same number of supervised tokens and, within a tolerance, the loss, the gradient
norm before clipping and the learning rate of the case.  Exit status 1, with a line for each that is not.
"""
import argparse
import json
import sys

TOLERANCES = {  # relative: loss, gradient norm.  Measured deviations of sound programs are ten times smaller.
    "fp32": (5e-5, 5e-4),
    "8-bit": (8e-4, 1e-2),  # moments in 8 bits: a code flips where two of the map are about as near
    "bf16": (4e-3, 1e-1),
}


def read_steps(path):
    """The training lines of a metrics.jsonl, in file order."""
    with open(path, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row for row in rows if "loss" in row]


def differences(rows, expected, precision="fp32"):
    """One sentence for each thing in which the steps `rows` are not those of `expected`."""
    loss, grad_norm = ("bf16", "grad_norm_bf16") if precision == "bf16" else ("loss", "grad_norm")
    loss_rtol, grad_rtol = TOLERANCES[precision]
    highest_rate = max(expected["learning_rate"])
    found = []
    if [row["step"] for row in rows] != expected["step"]:
        found.append(f"steps are {[row['step'] for row in rows]}, expected {expected['step']}")
    for i, row in enumerate(rows[:len(expected["step"])]):
        for key, want, limit in (("loss", expected[loss][i], loss_rtol * expected[loss][i]),
                                 ("grad_norm", expected[grad_norm][i], grad_rtol * expected[grad_norm][i]),
                                 ("learning_rate", expected["learning_rate"][i], 1e-5 * highest_rate),
                                 ("tokens", expected["tokens"][i], 0),
                                 ("supervised_tokens", expected["supervised_tokens"][i], 0)):
            got = row.get(key)
            if not isinstance(got, (int, float)) or not abs(got - want) <= limit:  # a NaN is never within the limit
                found.append(f"step {row['step']}: {key} is {got}, expected {want} within {limit:.1e}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics")
    parser.add_argument("expected")
    parser.add_argument("--precision", choices=TOLERANCES, default="fp32",
                        help="bf16: against the series computed in bf16; 8-bit: of a run whose moments are kept in 8 bits")
    arguments = parser.parse_args()
    with open(arguments.expected, encoding="utf-8") as file:
        expected = json.load(file)
    found = differences(read_steps(arguments.metrics), expected, arguments.precision)
    print("\n".join(found) or f"{expected['case']}: {len(expected['step'])} steps agree")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
