"""The report of a dataset, for people."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from rfdetr_train.datasets.manifest import Prepared
from rfdetr_train.datasets.model import DatasetReport, Finding, printable

_SHOWN_CLASSES = 40
_CHECKED = {
    "sample": "a sample of the annotations",
    "annotations": "all annotations",
    "images": "all annotations, and the headers of all images",
}


def to_text(report: DatasetReport) -> str:
    """Return a summary of about a screen for a terminal."""
    lines = [
        f"{printable(report.uri)}: {report.format.upper()} ({report.layout} layout), task {report.task}",
        f"  {len(report.classes)} classes: {_some_classes(report)}",
    ]
    lines += [
        f"  {split.name:5}  {split.image_count:>8,} images  {split.box_count:>9,} boxes  {split.annotations}"
        for split in report.splits.values()
    ]
    lines += [f"  {printable(text)}" for text in report.evidence]
    lines.append(f"  confidence {report.confidence:.0%}; checked: {_CHECKED[report.checked]}")
    if report.fingerprint:
        lines.append(f"  fingerprint {report.fingerprint}")
    lines += [f"  {_finding_line(finding)}" for finding in report.findings]
    return "\n".join(lines) + "\n"


def to_markdown(report: DatasetReport) -> str:
    """Return the report as Markdown."""
    lines = [
        f"# Dataset: {report.format.upper()}, {report.layout} layout",
        "",
        f"- Location: {_escape(report.uri)}",
        f"- Task: {report.task}",
        f"- Told from: {_escape('; '.join(report.evidence), 1000)} (confidence {report.confidence:.0%})",
        f"- Checked: {_CHECKED[report.checked]}",
        f"- Fingerprint: {report.fingerprint or 'none, for only a sample was read'}",
        f"- Classes from: {_escape(report.class_source)}",
        "",
        "| split | in the dataset | images | boxes | annotations |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {split.name} | {_escape(split.source_name)} | {split.image_count} | {split.box_count} "
        f"| {_escape(split.annotations)} |"
        for split in report.splits.values()
    ]
    splits = list(report.splits.values())
    lines += [
        "",
        f"| label | class | {' | '.join(split.name for split in splits)} |",
        "|---|---|" + "---|" * len(splits),
    ]
    lines += [
        f"| {label} | {_escape(name)} | {' | '.join(str(split.boxes_per_class.get(name, 0)) for split in splits)} |"
        for label, name in enumerate(report.classes)
    ]
    lines += ["", "## Findings", ""]
    lines += [_finding_markdown(finding) for finding in report.findings] or ["None."]
    return "\n".join(lines) + "\n"


def conversion_to_markdown(prepared: Prepared) -> str:
    """Return what a conversion found and changed as Markdown."""
    counts = ", ".join(f"{name} {len(split.images):,}" for name, split in prepared.splits.items())
    lines = [
        f"# {prepared.source_format.upper()} to {prepared.format.upper()}",
        "",
        f"- Source: {_escape(prepared.source)}",
        f"- Images: {counts}",
        "",
        "## Changed",
        "",
        *([f"- {code}: {count:,}" for code, count in prepared.changes.items()] or ["Nothing."]),
        "",
        "## Findings",
        "",
        *([_finding_markdown(finding) for finding in prepared.findings] or ["None."]),
    ]
    return "\n".join(lines) + "\n"


def error_message(report: DatasetReport, refusing: Sequence[Finding]) -> str:
    """Return one message with every finding that refuses a dataset."""
    word = "errors" if any(finding.severity == "error" for finding in refusing) else "warnings"
    kinds = f"1 kind of {word.removesuffix('s')}" if len(refusing) == 1 else f"{len(refusing)} kinds of {word}"
    lines = [f"The dataset {printable(report.uri)} has {kinds}; nothing was started."]
    for finding in refusing:
        lines.append(f"  {finding.code} ({finding.count:,}): {finding.message}")
        lines += [f"    {example}" for example in finding.examples]
        lines.append(f"    Fix: {finding.fix}")
    return "\n".join(lines)


def _some_classes(report: DatasetReport) -> str:
    """Return the first class names."""
    names = ", ".join(printable(name, 60) for name in report.classes[:_SHOWN_CLASSES])
    more = len(report.classes) - _SHOWN_CLASSES
    return f"{names} and {more} more" if more > 0 else names


def _finding_line(finding: Finding) -> str:
    """Return a finding with its first place."""
    place = f" First: {finding.examples[0]}." if finding.examples else ""
    return f"{finding.severity}: {finding.code} ({finding.count:,}): {finding.message}{place} {finding.fix}"


def _finding_markdown(finding: Finding) -> str:
    """Return a finding as a Markdown item."""
    examples = "".join(f"\n  - {_escape(example)}" for example in finding.examples)
    text = f"{_escape(finding.message)} {_escape(finding.fix)}"
    return f"- **{finding.severity}** {finding.code} ({finding.count}): {text}{examples}"


def _escape(text: str, limit: int = 200) -> str:
    """Keep a name from a dataset from becoming markup in the page that shows the report."""
    return re.sub(r"([\\`*_\[\]|#~!])", r"\\\1", html.escape(printable(text, limit), quote=False))
