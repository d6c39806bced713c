"""Directives that write tables from the code they describe, so that a page cannot say something else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from exception_rows import exception_rows
from log_texts import AIRFLOW_SIDE, log_texts, remedy_of
from sphinx.application import Sphinx


class CodeTable(Directive):
    """A list-table made of rows of reStructuredText; in a Markdown page, use it inside of ``eval-rst``."""

    header: Sequence[str] = ()

    def rows(self) -> Iterable[Sequence[str]]:
        """The table's rows."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Render the table."""
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for row in (self.header, *self.rows()):
            lines += [f"   {'* -' if number == 0 else '  -'} {cell}" for number, cell in enumerate(row)]
        holder = nodes.container()
        self.state.nested_parse(StringList(lines, source="code_tables"), self.content_offset, holder)
        return list(holder.children)


class WorkerSettingsTable(CodeTable):
    """Every setting of the worker."""

    header = ("Setting", "Default", "Meaning")

    def rows(self) -> Iterable[Sequence[str]]:
        from langgraph_worker.settings.explain import documentation

        for setting in documentation():
            default = f"``{setting.default}``" if setting.default else ""
            names = f"``{setting.env}`` ``{setting.flag}``" if setting.flag else f"``{setting.env}``"
            yield names, default, setting.description.replace("*", r"\*")


class FaultsTable(CodeTable):
    """Which fault gives which answer."""

    header = ("``error_type``", "Status", "Airflow's retry can help", "Dead letter", "When", "What to do")

    def rows(self) -> Iterable[Sequence[str]]:
        from langgraph_worker.domain.faults import FAULTS

        for fault in FAULTS:
            yield (
                f"``{fault.name}``",
                fault.status.value,
                "yes" if fault.retriable else "no",
                "yes" if fault.dead_letter else "no",
                fault.when,
                fault.remedy,
            )


class FiguresTable(CodeTable):
    """The figures of a worker."""

    header = ("Figure", "Kind", "Labels", "Meaning")

    def rows(self) -> Iterable[Sequence[str]]:
        from langgraph_worker.telemetry.figures import FIGURES

        for figure in FIGURES:
            labels = "; ".join(f"``{label.name}``: {label.values}" for label in figure.labels)
            yield f"``{figure.full_name}``", figure.kind, labels, figure.meaning


class LogTextsTable(CodeTable):
    """The warnings and errors of Airflow's side, as they are in its logs."""

    header = ("The log has", "What to do")

    def rows(self) -> Iterable[Sequence[str]]:
        for found in log_texts(AIRFLOW_SIDE):
            yield found.text.replace("*", r"\*").replace("`", "``"), _as_rst(remedy_of(found.text) or "")


class ExceptionsTable(CodeTable):
    """The exceptions that a task can fail with."""

    header = ("Exception", "Airflow retries", "Meaning", "What to do")

    def rows(self) -> Iterable[Sequence[str]]:
        for row in exception_rows():
            links = {"faults": ":doc:`/reference/faults`", "answer": ":doc:`/how-to/answer-a-question`"}
            remedy = _as_rst(row.remedy).format(**links)
            yield f"``{row.name}``", row.retried, row.meaning, remedy


def _as_rst(text: str) -> str:
    """Markdown's code spans as those of reStructuredText."""
    return text.replace("`", "``")


class MutantsTable(CodeTable):
    """The mutants that break one rule."""

    header = ("Mutant", "What it breaks")
    required_arguments = 1

    def rows(self) -> Iterable[Sequence[str]]:
        from devtools.mutants import catalogue

        for mutant in catalogue():
            if mutant.rule == self.arguments[0]:
                yield f"``{mutant.name}``", mutant.breaks.replace("*", r"\*")


class TopicsTable(CodeTable):
    """The topics of a fleet."""

    header = ("Topic", "Partitions", "Retention")

    def rows(self) -> Iterable[Sequence[str]]:
        from workflow_events.topics import DAY_MS, Fleet

        for spec in Fleet().specs():
            kept = f"{spec.retention_ms // DAY_MS} days{', compacted' if spec.compacted else ''}"
            yield f"``{spec.name}``", str(spec.partitions), kept


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("worker-settings", WorkerSettingsTable)
    app.add_directive("faults", FaultsTable)
    app.add_directive("worker-figures", FiguresTable)
    app.add_directive("log-texts", LogTextsTable)
    app.add_directive("task-exceptions", ExceptionsTable)
    app.add_directive("fleet-topics", TopicsTable)
    app.add_directive("mutants", MutantsTable)
    return {"parallel_read_safe": True}
