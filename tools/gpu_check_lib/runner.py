"""Running commands against a clock, and what became of them."""
import os
import re
import signal
import subprocess
import time
from dataclasses import asdict, dataclass, field

PASSED, FAILED, CUT, ABSENT = "passed", "failed", "cut", "not here"
ORDER = [FAILED, CUT, PASSED, ABSENT]  # of several checks the first of these is the stage's


@dataclass
class Check:
    """One statement that a stage made true or false."""

    what: str
    status: str
    detail: str = ""


@dataclass
class Measurement:
    """A number; `key` names its target in targets.py."""

    key: str
    what: str
    value: float
    unit: str
    detail: str = ""


@dataclass
class Stage:
    name: str
    share: float  # seconds it was given
    seconds: float = 0.0
    checks: list = field(default_factory=list)
    measurements: list = field(default_factory=list)

    @property
    def status(self):
        found = {check.status for check in self.checks}
        return next((status for status in ORDER if status in found), CUT)

    def check(self, what, good, detail=""):
        """`good`: a truth value, or a status."""
        status = good if isinstance(good, str) else (PASSED if good else FAILED)
        self.checks.append(Check(what, status, detail))

    def measure(self, key, what, value, unit, detail=""):
        self.measurements.append(Measurement(key, what, value, unit, detail))

    def as_dict(self):
        return {**asdict(self), "status": self.status}


@dataclass
class Outcome:
    code: int  # of the process; minus a signal's number
    output: str
    cut: bool  # its time was up
    seconds: float

    @property
    def good(self):
        return self.code == 0 and not self.cut

    def status(self):
        return CUT if self.cut else PASSED if self.code == 0 else FAILED

    def last_line(self):
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1][:200] if lines else "no output"

    def why(self):
        if self.cut:
            return f"its time was up after {self.seconds:.0f} s"
        return f"ended by signal {-self.code}" if self.code < 0 else f"exit code {self.code}: {self.last_line()}"


class Shell:
    """Runs commands from one folder with one environment, and keeps what they say. `hidden`: {path: what logs show
    instead}, since results are published and this machine's folders are nobody's business."""

    def __init__(self, folder, environment, hidden):
        self.folder, self.environment = folder, environment
        self.hidden = sorted(((str(path), name) for path, name in hidden.items()), key=lambda pair: -len(pair[0]))

    def shown(self, text):
        for path, name in self.hidden:
            text = text.replace(path, name)
        return text

    def run(self, command, log, deadline, given=None, environment=None):
        """Runs `command` until `deadline` (time.monotonic()) at most, then ends it with all its children. Appends to
        the file `log`. `given` goes to its standard input."""
        command = [str(word) for word in command]
        begun = time.monotonic()
        if deadline - begun < 1.0:
            return Outcome(-signal.SIGKILL, "", True, 0.0)
        process = subprocess.Popen(command, cwd=self.folder, env={**self.environment, **(environment or {})},
                                   stdin=subprocess.PIPE if given is not None else subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                   start_new_session=True)
        cut = False
        try:
            output, _ = process.communicate(given, timeout=deadline - begun)
        except subprocess.TimeoutExpired:
            cut = True
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        except BaseException:  # Ctrl-C does not reach the process group of the child, which would live on
            os.killpg(process.pid, signal.SIGKILL)
            raise
        output = self.shown(output)
        outcome = Outcome(process.returncode, output, cut, time.monotonic() - begun)
        with open(log, "a", encoding="utf-8") as file:
            end = "cut: its time was up" if cut else f"exit code {outcome.code}"
            file.write(f"$ {self.shown(' '.join(command))}\n{output}[{end}, {outcome.seconds:.1f} s]\n\n")
        return outcome


_TEST_END = re.compile(r"^\[ +(OK|FAILED|SKIPPED) +\] (\S+?),?(?: where .*)? \((\d+) ms\)$", re.MULTILINE)
_TEST_START = re.compile(r"^\[ RUN +\] (\S+)$", re.MULTILINE)


def test_results(output):
    """What a GoogleTest program printed: {test: ("OK", "FAILED", "SKIPPED" or "unfinished", seconds)}. Read from the
    text and not from a report file, which a program that crashes or is ended does not write."""
    results = {name: ("unfinished", 0.0) for name in _TEST_START.findall(output)}
    for word, name, milliseconds in _TEST_END.findall(output):
        results[name] = (word, int(milliseconds) / 1000)
    return results
