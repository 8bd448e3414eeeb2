"""calls.py: what each call of scripts/gpu-check runs fits its minutes, and its time ends the program, whatever hangs."""
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "e2e"))
from harness import ROOT, require, skip, workspace  # noqa: E402

if sys.version_info < (3, 10):
    skip("scripts/gpu-check needs Python 3.10")
from gpu_check import report  # noqa: E402
from gpu_check.calls import CALLS, LAST_WORDS  # noqa: E402
from gpu_check.context import Context  # noqa: E402
from gpu_check.machine import Machine  # noqa: E402
from gpu_check.main import STAGES, parse, run_stage  # noqa: E402
from gpu_check.programs import find_programs  # noqa: E402

SLEEPS = "#!/bin/sh\nexec sleep 98765\n"


def the_limits_of_a_call_fit_its_minutes():
    for name, call in CALLS.items():
        require(sum(call.limits.values()) <= call.seconds, f"call {name}: its stages' limits fit the time for all", call)
        require(call.seconds + LAST_WORDS <= 60 * call.minutes, f"call {name}: it has ended within its minutes", call)
        asked = parse(["--call", name])
        require(asked.stages == list(call.limits) and asked.seconds == call.seconds and
                call.limits.items() <= asked.limits.items(), f"call {name}: runs these stages, with these limits")
    require((CALLS["first"].minutes, CALLS["second"].minutes) == (7, 5), "two calls, of 7 and of 5 minutes")
    require({*CALLS["first"].limits, *CALLS["second"].limits} == set(STAGES), "the two have all stages between them")
    require(list(CALLS["first"].limits)[:2] == ["unit", "kernels"], "the first begins with what says most")


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


def the_time_for_all_stages_ends_a_stage_that_hangs():
    with workspace() as place:
        bench = write_program(place / "bench", SLEEPS)
        arguments = parse(["--rehearse", "--train", "none", "--bench-kernels", str(bench)])
        context = Context(Machine(), find_programs(arguments), rehearse=True, logs=place, work=place, cases=[],
                          peer_python=None)
        deadline = time.monotonic() + 2
        results = [run_stage(name, context, 98765, deadline, publish=None) for name in ("kernels", "sanitizer")]
        require([result.status for result in results] == ["timed_out", "failed"] and "not run" in results[1].summary,
                "the time for all stages ends the one that hangs, and no other begins", results)
        about = {"stages_asked_for": ["kernels", "sanitizer", "unit"], "stages_there_are": list(STAGES)}
        told = report.left_out(about, results)
        require(told.pop("sanitizer") == told.pop("unit") == "no time" and "kernels" not in told and
                set(told) == set(STAGES) - {"kernels", "sanitizer", "unit"} and set(told.values()) == {"not of this call"},
                "what was left out is listed", told)
        told = report.left_out_in_words(about, results)
        require(told.startswith("Left out: unit, sanitizer (no time); ") and told.endswith(" (not of this call)"), "in words, too",
                told)


def a_program_that_hangs_elsewhere_is_ended_too():
    with workspace() as place:
        write_program(place / "nvidia-smi", SLEEPS)
        done = subprocess.run([sys.executable, ROOT / "scripts/gpu-check", "--rehearse", "--minutes", "0", "--output",
                               place / "out"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, "PATH": f"{place}{os.pathsep}{os.environ['PATH']}"})
        require(done.returncode == 1 and "the time is over" in done.stdout and not (place / "out").exists(),
                "while it looks at the machine, too, the time ends it", (done.returncode, done.stdout))


the_limits_of_a_call_fit_its_minutes()
the_time_for_all_stages_ends_a_stage_that_hangs()
a_program_that_hangs_elsewhere_is_ended_too()
