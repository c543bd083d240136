# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The analysis of a crash directory, presented as the debugger's `!analyze -v` does."""

import json
from dataclasses import dataclass

from pydriver.crash.bug_checks import meaning_of
from pydriver.crash.culprit import Culprit, find_culprit, incident_of, stuck_request
from pydriver.crash.directory import Crash
from pydriver.crash.followup import followup_of
from pydriver.crash.rules import rule_text
from pydriver.crash.snapshot import Json
from pydriver.ke.irql import irql_name

__all__ = ("Analysis", "analyse")

EVENTS = 16
"""Recent events that are shown."""
WIDTH = 79
TITLE = "Bugcheck Analysis"

HEADINGS = {
    "verifier": "The run came to its end, but the verifier has found broken rules.",
    "stall": "Nothing makes progress: there is no bug check, but a request is not completed.",
    "machine died": "QEMU ended unexpectedly.",
    "error": "An error was reported, but the system itself had not failed.",
}


@dataclass(frozen=True)
class Analysis:
    """The result of an analysis.

    :ivar crash: the crash that was analysed
    :ivar incident: the bug check or the first broken rule, or ``None`` if the crash was neither
    :ivar culprit: the line to blame, or ``None`` if nothing points at one
    :ivar followup: the most likely mistake, in a sentence
    :ivar request: the request in flight, or ``None``
    """

    crash: Crash
    incident: Json | None
    culprit: Culprit | None
    followup: str
    request: Json | None

    @property
    def bucket(self) -> str:
        """The name that crashes with the same cause share [FAILURE_BUCKET_ID]."""
        state = self.crash.state
        check = state["bug_check"]
        what = f"0x{check['code']:X}" if check else state["kind"].upper().replace(" ", "_")
        cause = self.incident["cause"] if self.incident else ""
        where = self.culprit.frame["function"] if self.culprit else "unknown"
        return "_".join(filter(None, (what, cause, where)))

    def json(self) -> str:
        """Returns the analysis for programs: one JSON object on one line."""
        incident = self.incident or {}
        check = self.crash.state["bug_check"]
        frame = self.culprit.frame if self.culprit else None
        value: Json = {
            "kind": self.crash.state["kind"],
            "time": self.crash.state["time"],
            "error": self.crash.state["error"],
            "bug_check": None if check is None else {**check, "arguments": self._arguments()},
            "rule": incident.get("rule") or None,
            "rule_text": rule_text(incident.get("rule", "")) or None,
            "message": incident.get("message", self.crash.state["error"]),
            "callback": incident.get("callback") or None,
            "processor": incident.get("processor"),
            "irql": incident.get("irql"),
            "culprit": frame and {key: frame[key] for key in ("function", "file", "line", "text")},
            "why": self.culprit.why if self.culprit else None,
            "followup": self.followup,
            "bucket": self.bucket,
            "stack": [f"{each['file']}:{each['line']}" for each in incident.get("frames", ())],
            "request": self.request and self.request["name"],
            "violations": [each["rule"] for each in self.crash.state["incidents"]],
            "missing": self.crash.missing,
        }
        return json.dumps(value)

    def _arguments(self) -> list[str]:
        check = self.crash.state["bug_check"]
        return list(meaning_of(check["code"], tuple(check["parameters"])).parameters)

    def text(self) -> str:
        """Returns the whole analysis, for people."""
        parts = [
            self._heading(),
            self._details(),
            self._fault(),
            self._stack(),
            self._violations(),
            self._objects(),
            self._processors(),
            self._events(),
            self._followup(),
        ]
        return "\n\n".join("\n".join(part) for part in parts if part)

    def _heading(self) -> list[str]:
        state, check = self.crash.state, self.crash.state["bug_check"]
        stars = "*" * WIDTH
        lines = [stars, f"*{TITLE:^{WIDTH - 2}}*", stars, ""]
        if check is None:
            return [*lines, f"{state['kind'].upper()}", HEADINGS[state["kind"]], state["error"]]
        meaning = meaning_of(check["code"], tuple(check["parameters"]))
        lines += [f"{check['name']} ({check['code']:x})", meaning.text, "Arguments:"]
        for index, value in enumerate(check["parameters"]):
            lines.append(f"Arg{index + 1}: {value:016x}, {meaning.parameters[index]}")
        return lines

    def _details(self) -> list[str]:
        lines = ["Debugging Details:", "------------------"]
        check, incident = self.crash.state["bug_check"], self.incident
        if check is not None:
            lines.append(f"BUGCHECK_CODE:  {check['code']:x}")
            for index, value in enumerate(check["parameters"]):
                lines.append(f"BUGCHECK_P{index + 1}: {value:x}")
        lines.append(f"CRASH_TIME:  {self.crash.state['time']}")
        if incident is not None:
            where = incident["processor"]
            lines += [
                f"MESSAGE:  {incident['message']}",
                *self._rule(incident),
                *([f"OBJECT:  {incident['subject']}"] if incident["subject"] else ()),
                f"FAULTING_CALLBACK:  {incident['callback'] or '-'}",
                f"PROCESSOR:  {'none' if where is None else where}",
                f"IRQL:  {irql_name(incident['irql'])}",
            ]
        if self.request is not None:
            lines.append(f"REQUEST_IN_FLIGHT:  {self.request['name']}")
        for name, why in self.crash.missing.items():
            lines.append(f"MISSING:  {name}: {why}")
        return lines

    def _rule(self, incident: Json) -> list[str]:
        if not incident["rule"]:
            return [f"CAUSE:  {incident['cause']}"]
        page = f" (documented as {incident['page']})" if incident["page"] else ""
        return [f"RULE:  {incident['rule']}{page}", f"RULE_WANTS:  {rule_text(incident['rule'])}"]

    def _fault(self) -> list[str]:
        if self.culprit is None:
            return ["FAULTING_SOURCE_LINE:  nothing points at a line of the driver"]
        frame = self.culprit.frame
        return [
            f"FAULTING_SOURCE_LINE:  {frame['text']}",
            f"FAULTING_SOURCE_FILE:  {frame['file']}",
            f"FAULTING_SOURCE_LINE_NUMBER:  {frame['line']}",
            f"FAULTING_FUNCTION:  {frame['function']}",
            f"BLAMED_BECAUSE:  {self.culprit.why}",
            "FAULTING_SOURCE_CODE:",
            *_source(frame),
        ]

    def _stack(self) -> list[str]:
        frames = self.incident["frames"] if self.incident else self.crash.state["error_frames"]
        if not frames:
            return []
        lines = ["STACK_TEXT:"]
        for each in reversed(frames):
            lines.append(f"{each['function']} [{each['file']} @ {each['line']}]")
        return lines

    def _violations(self) -> list[str]:
        more = [each for each in self.crash.state["incidents"] if each is not self.incident]
        lines = ["OTHER_BROKEN_RULES:"] if more else []
        for each in more:
            lines.append(f"{each['rule']}: {each['message']} [{each['callback'] or '-'}]")
        return lines

    def _objects(self) -> list[str]:
        lines = list(self.incident["objects"]) if self.incident else []
        wanted = {"WDFREQUEST", "WDFQUEUE", "WDFINTERRUPT"}
        for each in [] if lines else self.crash.state["objects"]:
            if each["type"] in wanted:
                lines.append(f"!{each['type'].lower()} 0x{each['handle']:x}: {each['name']}")
                lines += [f"    {line}" for line in each["lines"]]
                for name, place in each["callbacks"].items():
                    lines.append(
                        f"    {name}: {place['function']} [{place['file']} @ {place['line']}]"
                    )
        return ["OBJECTS:", *lines] if lines else []

    def _processors(self) -> list[str]:
        lines = ["PROCESSORS:"]
        for each in self.crash.state["processors"]:
            queue = ", ".join(dpc["name"] for dpc in each["dpc_queue"]) or "empty"
            dpc = ", in a DPC" if each["in_dpc"] else ""
            irql = irql_name(each["irql"])
            lines.append(f"processor {each['number']}: {irql}{dpc}; DPC queue: {queue}")
        for each in self.crash.state["locks"]:
            place = each["acquired"]
            where = f", acquired at {place['file']}:{place['line']}" if place else ""
            lines.append(f"held: {each['name']}{where}")
        return lines

    def _events(self) -> list[str]:
        if self.incident is not None:
            lines = self.incident["events"][-EVENTS:]
        else:
            lines = self.crash.events[-EVENTS:]
        return ["LAST_EVENTS:", *lines] if lines else []

    def _followup(self) -> list[str]:
        return [
            f"FAILURE_BUCKET_ID:  {self.bucket}",
            "",
            f"FOLLOWUP:  {self.followup}",
            "---------",
        ]


def analyse(crash: Crash) -> Analysis:
    """Analyses a crash.

    :param crash: the crash, as :func:`~pydriver.crash.directory.read_crash` returns it
    """
    culprit = find_culprit(crash)
    return Analysis(
        crash, incident_of(crash), culprit, followup_of(crash, culprit), stuck_request(crash)
    )


def _source(frame: Json) -> list[str]:
    """Returns the source lines around the faulting one, which is marked."""
    lines = []
    for number, text in enumerate(frame["source"], frame["first"]):
        mark = ">" if number == frame["line"] else " "
        lines.append(f"{mark}{number:6}: {text}".rstrip())
    return lines
