"""The stage that runs the unit tests: the CUDA test program, in groups, and which of its tests failed and why."""
import xml.etree.ElementTree as xml
from dataclasses import dataclass

from .context import FAILED, LOG_TAIL, PASSED, SKIPPED, Result, missing, plain, status_of, summarise

# By Catch2's tags, in this order: first what only a GPU has (test/cuda), then the tests of the kernels of any device, which
# take longer.  Each test is in one of them, whatever its tags are.
GROUPS = {"the GPU's own": "[cudnn],~[kernels]", "kernels": "[kernels]~[cudnn]"}

FAILURES = ("Expression", "Exception", "Failure", "FatalErrorCondition")
LONGEST = 600  # characters of a test's failures that are kept


@dataclass
class Test:
    name: str
    where: str            # file:line
    seconds: float | None = None  # None: it was running when the program was ended
    passed: bool = False
    told: str = ""        # of a failure


def unit(context):
    """All CUDA unit tests; in a rehearsal where nobody built them, those of the kernels on the CPU."""
    program = context.programs.test_cuda
    if context.rehearse and not program.exists():
        program = context.programs.test_kernels
    if not program.exists():
        return missing("unit", program)
    groups = [_run(context, program, name, chosen) for name, chosen in GROUPS.items()]
    result = summarise("unit", groups)
    result.summary = f"{program.name}: " + "; ".join(f"{group.name}: {group.summary}" for group in groups)
    return result


def _run(context, program, name, chosen):
    report = context.logs / "unit" / plain(f"{name}.xml")
    finished = context.run(f"unit/{name}", [program, chosen, "--durations", "yes", "--reporter", "xml", "--out", report])
    tests = read(report.read_text(errors="replace") if report.exists() else "")
    failed = [test for test in tests if not test.passed]
    status = status_of(finished)
    if status == PASSED and (failed or not tests):
        status = FAILED if failed or not context.rehearse else SKIPPED  # the CPU's kernels have no tests of a GPU
    if status in (PASSED, SKIPPED):
        last_line = finished.output.strip().splitlines()[-1:]
        return Result(name, status, finished.seconds, f"{len(tests)} tests passed" if tests else "".join(last_line) or "none")
    summary = ", ".join([f"{len(failed)} of {len(tests)} tests failed", *map(_in_words, failed)])
    told = [f"{_in_words(test)} ({test.where})\n{test.told}" for test in failed]
    return Result(name, status, finished.seconds, summary,
                  {"exit_status": finished.status, "failed": [test.name for test in failed],
                   "output": "\n".join([*told, finished.output[-LOG_TAIL:]])})


def _in_words(test):
    return f"“{test.name}”" + (" did not end" if test.seconds is None else "")


def read(report):
    """The tests of Catch2's XML, which is written while they run: the last one may have begun and not ended."""
    parser, tests, running = xml.XMLPullParser(["start", "end"]), [], None
    try:
        parser.feed(report)
        for event, element in parser.read_events():
            if element.tag != "TestCase":
                continue
            if event == "start":
                running = Test(element.get("name"), f"{element.get('filename')}:{element.get('line')}")
                tests.append(running)
            else:
                ending = element.find("OverallResult")
                running.seconds, running.passed = float(ending.get("durationInSeconds", 0)), ending.get("success") == "true"
                running.told = _failures(element)
    except xml.ParseError:
        pass  # what was read before counts
    return tests


def _failures(test):
    """What failed, as the source says it, with the values that it had and what the test said of its case."""
    found = []
    for element in test.iter():
        texts = [" ".join("".join(part.itertext()).split()) for part in ([*element] or [element])]
        if element.tag == "Info":
            found.append(f"  {texts[0]}")
        elif element.tag in FAILURES and element.get("success") != "true":
            found.append(f"  {element.get('filename')}:{element.get('line')}: {'  →  '.join(filter(None, texts))}")
    return "\n".join(found)[:LONGEST]
