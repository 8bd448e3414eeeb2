"""unit_tests.py: the stage of scripts/gpu-check that runs the CUDA test program runs all of it, what only a GPU has first,
and names what failed.  The program is a stand-in that leaves what Catch2 2.13 does."""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "e2e"))
from harness import ROOT, require, skip, workspace  # noqa: E402

if sys.version_info < (3, 10):
    skip("scripts/gpu-check needs Python 3.10")
from gpu_check import report  # noqa: E402
from gpu_check.context import Context  # noqa: E402
from gpu_check.machine import Machine  # noqa: E402
from gpu_check.main import parse  # noqa: E402
from gpu_check.programs import find_programs  # noqa: E402
from gpu_check.unit_tests import GROUPS, unit  # noqa: E402

PASSES = """    <TestCase name="{name}" tags="[cuda]" filename="test/cuda/device.cpp" line="6">
      <OverallResult success="true" durationInSeconds="0.25"/>
    </TestCase>
"""
FAILS = """    <TestCase name="one query of &quot;q&quot; &amp; a NaN" tags="[cudnn]" filename="test/cuda/cudnn.cpp" line="9">
      <Section name="backward" filename="test/cuda/cudnn.cpp" line="10">
        <Info>
          documents of 1, 63
        </Info>
        <Expression success="false" type="CHECK" filename="test/cuda/cudnn.cpp" line="12">
          <Original>
            own == theirs
          </Original>
          <Expanded>
            1.0 == nanf
          </Expanded>
        </Expression>
        <OverallResults successes="0" failures="1" expectedFailures="0" durationInSeconds="0.1"/>
      </Section>
      <OverallResult success="false" durationInSeconds="0.2"/>
    </TestCase>
"""
HANGS = """    <TestCase name="a key head alone" tags="[kernels]" filename="test/unit/kernels/attention.cpp" line="20">
"""
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<Catch name="test_cuda">\n  <Group name="test_cuda">\n'
TAIL = "  </Group>\n</Catch>\n"
# What each group's run writes and does then, by the tests that are asked for.
PROGRAM = """#!/bin/sh
echo "$1" >>{asked}
while [ "$1" != --out ]; do last=$1; [ -n "$first" ] || first=$1; shift; done
case $first in
{cases}
esac
"""


def run_stage(place, **groups):
    """(the stage's result, the groups in the order that they ran in); groups: "own" and "kernels" -> (XML, shell)."""
    cases = []
    for (name, chosen), (text, then) in zip(GROUPS.items(), (groups["own"], groups["kernels"])):
        file = place / f"{name.replace(chr(39), '')}.xml"
        file.write_text(text)
        cases.append(f"'{chosen}') cat '{file}' >\"$2\"; {then} ;;")
    program = place / "test_cuda"
    program.write_text(PROGRAM.format(asked=place / "asked", cases="\n".join(cases)))
    program.chmod(0o755)
    arguments = parse(["--train", "none", "--test-cuda", str(program)])
    context = Context(Machine(), find_programs(arguments), rehearse=False, logs=place / "logs", work=place, cases=[],
                      peer_python=None, deadline=time.monotonic() + 600)
    result = unit(context)
    return result, (place / "asked").read_text().splitlines()


def page(result):
    about = {"device": {}, "rehearsed": False, "versions": {}, "command": "", "date": "", "commit": "", "cores": 1,
             "stages_asked_for": ["unit"], "stages_there_are": ["unit"]}
    return report.markdown(about, [result])


def tests(*names):
    return HEAD + "".join(PASSES.format(name=name) for name in names) + TAIL


def all_of_it_runs_the_gpus_own_first():
    with workspace() as place:
        result, asked = run_stage(place, own=(tests("streams", "events"), "true"), kernels=(tests("rope"), "true"))
        require(asked == list(GROUPS.values()) and asked[0].startswith("[cudnn]"), "what only a GPU has comes first", asked)
        require(result.status == "passed" and "2 tests passed" in result.summary and "1 tests passed" in result.summary,
                "the stage passes where all do", result)
    written = "".join(file.read_text() for file in (ROOT / "test" / "cuda").glob("*.cpp"))
    require("[cuda]" in written and "[kernels]" not in written, "tests of test/cuda are of the first group, by their tags")


def failures_are_named():
    with workspace() as place:
        result, asked = run_stage(place, own=(HEAD + PASSES.format(name="streams") + FAILS + TAIL, "exit 1"),
                                  kernels=(tests("rope"), "true"))
        require(result.status == "failed" and len(asked) == 2 and "1 of 2 tests failed" in result.summary,
                "a test that fails fails the stage, the other group still runs", result)
        told = page(result)
        parts = ('“one query of "q" & a NaN”', "test/cuda/cudnn.cpp:9", "test/cuda/cudnn.cpp:12", "own == theirs",
                 "1.0 == nanf", "documents of 1, 63")
        require(all(part in told for part in parts), "the page names the test, and what failed in it, with its values", told)
        require(result.details["checks"][0]["failed"] == ['one query of "q" & a NaN'], "so does the JSON", result.details)


def a_test_that_does_not_end_is_named():
    with workspace() as place:
        result, _ = run_stage(place, own=(tests("streams"), "true"),
                              kernels=(HEAD + PASSES.format(name="rope") + HANGS, "kill -KILL $$"))
        require(result.status == "failed" and "“a key head alone” did not end" in page(result),
                "a test that was running when the program was ended is named", result)


def a_program_that_runs_nothing_has_not_passed():
    with workspace() as place:
        result, _ = run_stage(place, own=(HEAD + TAIL, "true"), kernels=(tests("rope"), "true"))
        require(result.status == "failed", "where no test of a group ran the stage fails", result)
    with workspace() as place:
        result, _ = run_stage(place, own=("", "echo 'not tested: no GPU'; exit 77"), kernels=("", "echo no GPU; exit 77"))
        require(result.status == "skipped" and "not tested: no GPU" in result.summary, "without a GPU it is skipped", result)


all_of_it_runs_the_gpus_own_first()
failures_are_named()
a_test_that_does_not_end_is_named()
a_program_that_runs_nothing_has_not_passed()
