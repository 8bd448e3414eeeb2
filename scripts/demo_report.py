"""demo_report.py OUTPUT_DIR: what the demonstration did, from metrics.jsonl and the texts of `train generate`."""
import json
import statistics
import sys
from pathlib import Path


def answers(path):
    """{prompt: answer} from the lines "> prompt" and the answer's lines after each."""
    found, prompt = {}, None
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("> "):
            prompt = line[2:]
            found[prompt] = []
        elif prompt:
            found[prompt].append(line)
    return {prompt: " ".join(" ".join(lines).split()) for prompt, lines in found.items()}


def main():
    folder = Path(sys.argv[1])
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "loss" in row]
    evaluations = [row["eval_loss"] for row in rows if "eval_loss" in row]
    before, after = answers(folder / "before.txt"), answers(folder / "after.txt")
    print("\nWords that no training sample defines:")
    for prompt in before:
        print(f"\n  {prompt}\n    before: {before[prompt]}\n    after:  {after[prompt]}")
    rate = statistics.median(row["tokens_per_second"] for row in steps)
    print(f"\n{len(steps)} steps, {sum(row['tokens'] for row in steps)} tokens, {rate:.0f} tokens/s"
          f"\nloss on unseen words: {evaluations[0]:.3f} before, {evaluations[-1]:.3f} after"
          f"\n{folder}/final          the model, for transformers, vLLM, llama.cpp"
          f"\n{folder}/checkpoints    from which an interrupted run resumes"
          f"\n{folder}/metrics.jsonl  every step; event files for TensorBoard are beside it"
          f"\n{folder}/job.resolved.ini  the job with all defaults filled in")


if __name__ == "__main__":
    main()
