"""What a call of gpu-check runs: stages in the order of their worth, with a time limit each, within that of the whole."""
from dataclasses import dataclass

LAST_WORDS = 10  # seconds after the time for the stages until the program ends, whatever it does then


@dataclass(frozen=True)
class Call:
    minutes: int   # in which it ends
    seconds: int   # for the stages, and for looking at the machine
    limits: dict   # stage -> seconds at most; the last one also has what the others leave


CALLS = {
    "all": Call(9, 525, {"unit": 90, "reference": 60, "resume": 45, "ranks": 75, "sanitizer": 60, "kernels": 50,
                         "training": 145}),
    "first": Call(7, 405, {"unit": 80, "kernels": 50, "step": 50, "reference": 45, "ranks": 85, "resume": 30,
                           "sanitizer": 65}),
    "second": Call(5, 285, {"training": 285}),
}
