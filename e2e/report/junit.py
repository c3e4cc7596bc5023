"""A run as JUnit's XML, for those who read it by machine.

pytest's own file would have the tests alone. Here each case is a suite, which has its tests and, as a test
each, the specification's bounds; the project's own bounds are properties, since missing one fails nothing.
"""

import xml.etree.ElementTree as ET

from e2e.report.words import case_name, plain, sentence
from e2e.results import Bound, Case, Outcome, Run, Source


def junit(run: Run) -> str:
    root = ET.Element("testsuites", name="tenantquota e2e", time=f"{run.seconds:.3f}")
    for case in run.cases:
        root.append(_suite(case, run))
    if run.incomplete:
        suite = ET.SubElement(root, "testsuite", name="the run")
        test = ET.SubElement(suite, "testcase", classname="the run", name="is complete")
        ET.SubElement(test, "error", message=plain(run.incomplete))
        _count(suite)
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(case: Case, run: Run) -> ET.Element:
    name = plain(case_name(case))
    suite = ET.Element("testsuite", name=name, time=f"{case.seconds:.3f}", timestamp=run.started)
    properties = ET.SubElement(suite, "properties")
    _property(properties, "tenants", str(case.tenants))
    if case.verdict is not None:
        _property(properties, "verdict", f"{case.verdict.state}: {case.verdict.text}")
    for bound in case.bounds:
        _property(properties, f"{bound.source} bound: {bound.what}", sentence(bound))
    for test in case.tests:
        _test(suite, name, test)
    for bound in case.bounds:
        if bound.source is Source.SPECIFICATION:
            _bound(suite, name, bound)
    _count(suite)
    return suite


def _property(properties: ET.Element, name: str, value: str) -> None:
    ET.SubElement(properties, "property", name=plain(name), value=plain(value))


def _test(suite: ET.Element, case: str, test: Outcome) -> None:
    element = ET.SubElement(
        suite, "testcase", classname=case, name=plain(test.name), time=f"{test.seconds:.3f}"
    )
    message = plain(test.message)
    if test.outcome == "failed":
        failure = ET.SubElement(element, "failure", message=message.partition("\n")[0])
        failure.text = message
    elif test.outcome == "skipped":
        ET.SubElement(element, "skipped", message=message)


def _bound(suite: ET.Element, case: str, bound: Bound) -> None:
    element = ET.SubElement(suite, "testcase", classname=f"{case}, bounds", name=plain(bound.what))
    if bound.met:
        ET.SubElement(element, "system-out").text = plain(sentence(bound))
    else:
        ET.SubElement(element, "failure", message=plain(sentence(bound)))


def _count(suite: ET.Element) -> None:
    tests = suite.findall("testcase")
    suite.set("tests", str(len(tests)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(test.find(tag) is not None for test in tests)))
