"""What a task does from the moment when its request is published: wait in the slot, defer, and return the answer.

:class:`~airflow_provider_langgraph.operators.langgraph.LangGraphTriggerOperator` and
:class:`~airflow_provider_langgraph.sensors.langgraph.LangGraphResultSensor` share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_langgraph.airflow_compat.single_process import is_dags_test
from airflow_provider_langgraph.airflow_compat.versions import TaskDeferralError, TaskDeferralTimeout
from airflow_provider_langgraph.exceptions import RunError, error_for
from airflow_provider_langgraph.requests.arguments import one_of, truth
from airflow_provider_langgraph.requests.deadline import deferral_timeout
from airflow_provider_langgraph.requests.early_resume import earliest_resume
from airflow_provider_langgraph.requests.kill_signal import KillSignal
from airflow_provider_langgraph.requests.outcome import ended_deferral, result_in, return_value, sensor_timeout
from airflow_provider_langgraph.requests.output_schema import OutputSchema, check_output_schema
from airflow_provider_langgraph.requests.publish import require_wanted
from airflow_provider_langgraph.requests.question import question_of, show_questions
from airflow_provider_langgraph.requests.result_value import FORMATS, ResultFormat
from airflow_provider_langgraph.requests.slot_time import check_defer_after, defer_after_seconds, slot_seconds
from airflow_provider_langgraph.requests.task_identity import note_returned
from airflow_provider_langgraph.requests.usage import push_usage
from airflow_provider_langgraph.tasks.linked_task import LinkedTask
from airflow_provider_langgraph.triggers.result import WorkflowResultTrigger
from airflow_provider_langgraph.waiting.blocking_wait import result_within, wait_for_result
from workflow_events.results import ResultStatus

if TYPE_CHECKING:
    from uuid import UUID

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_langgraph.requests.cancel import Canceller
    from airflow_provider_langgraph.requests.handle import RequestHandle
    from workflow_events.results import WorkflowResultEvent

OnInterrupt = Literal["fail", "return", "ask"]
"""What a task does whose graph asks a person: fail at once, return the question, or ask in Airflow and wait. A sensor
does not ask: it answers nothing."""

DAGS_TEST = (
    "This is `airflow dags test`: the task waits in this process, without scheduler and triggerer. Connection %r is "
    "read by synchronous calls, and no reply is held back for a scheduler"
)


class ReplyTask(LinkedTask):
    """A task that waits for the reply to a request. A class that mixes it in says which one it is.

    :cvar cancels_when_killed: whether the trigger cancels the request if the task is killed while it is deferred.
    :cvar interrupt_choices: what ``on_interrupt`` may be.
    """

    cancels_when_killed = True
    interrupt_choices: tuple[str, ...] = ("fail", "return")

    def _init_wait(
        self,
        *,
        defer_after: timedelta | float | str | None,
        deferrable: bool,
        result_format: ResultFormat,
        output_schema: Any,
        on_interrupt: OnInterrupt,
    ) -> None:
        """Keep, and check, the arguments that say how the task waits, and what it returns."""
        check_defer_after(defer_after)
        self.defer_after = defer_after
        self.deferrable = truth("deferrable", deferrable)
        self.result_format: ResultFormat = one_of("result_format", result_format, FORMATS)
        check_output_schema(output_schema)
        self.output_schema = output_schema
        self.on_interrupt: OnInterrupt = one_of("on_interrupt", on_interrupt, self.interrupt_choices)

    def _request_id(self, context: Context) -> UUID:
        """The correlation id of the request that is waited for."""
        raise NotImplementedError

    def _events_topic(self) -> str:
        """The topic to which an answer to its graph's question is published."""
        raise NotImplementedError

    @property
    def _author_names(self) -> Mapping[str, str]:
        """What the author calls an argument, where a form of the task has another name for it; for errors."""
        return {}

    @property
    def _canceller(self) -> Canceller:
        """What ends the request when nothing waits for it any more."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Called by Airflow: return the result, or defer."""
        try:
            return self._execute(context)
        except RunError as error:
            # The frames of this provider say nothing of why an agent failed; Airflow's page would show them all.
            raise error.with_traceback(None) from error.__cause__

    def _execute(self, context: Context) -> Any:
        """What a class that mixes it in does in the slot."""
        raise NotImplementedError

    def _wait(self, handle: RequestHandle, context: Context, most_seconds: float | None = None) -> Any:
        """Wait for the reply to a published request: in the slot, then defer; return its result.

        :param most_seconds: how long to wait at most; None: until the request's deadline and its grace have passed.
        :raises AirflowSensorTimeout: that time has passed.
        :raises RunError: (a subclass) there is no result that can be returned.
        :raises KafkaError: the reply cannot be waited for, or cannot be read.
        """
        if is_dags_test():
            self.log.info(DAGS_TEST, handle.kafka_config_id)
        if self._stays_in_slot:
            blocked = wait_for_result(handle, self._kill, self._canceller, self.log, most_seconds)
            return self._return(blocked, context, handle.deadline)
        seconds = slot_seconds(defer_after_seconds(self.defer_after), handle.deadline)
        if most_seconds is not None:
            seconds = min(seconds, most_seconds)
        result = result_within(handle, seconds, self._kill, self._canceller, self.log)
        if result is None:
            require_wanted(handle.correlation_id, context["ti"], self._kill, self._canceller)
            self._defer(handle, context, seconds, most_seconds)
        return self._return(result, context, handle.deadline)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Called by Airflow when the trigger has fired."""
        return self._return(result_in(event, self._request_id(context), self._canceller), context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Called by Airflow when the deferral is over, also when its trigger crashed or never ran."""
        self._note_links(context)
        try:
            # Not super(): a sensor's own would make other exceptions of these before they could be explained.
            return BaseOperator.resume_execution(self, next_method, next_kwargs, context)
        except (TaskDeferralTimeout, TaskDeferralError) as error:
            raise self._ended(error, context) from error
        except RunError as error:
            raise error.with_traceback(None) from error.__cause__  # as in execute

    def _ended(self, error: Exception, context: Context) -> Exception:
        """Why there is no result, where Airflow has ended the deferral without an event of its trigger."""
        return ended_deferral(error, self._request_id(context), self._canceller)

    def on_kill(self) -> None:
        """Called by Airflow when the task's process has to end; :meth:`execute` goes on meanwhile."""
        self._kill.set()

    @property
    def _kill(self) -> KillSignal:
        """The signal of one copy: Airflow executes copies of an operator, and the kill of one must not end the next.

        Made by one step of the interpreter, since a signal handler may ask for it meanwhile.
        """
        return self.__dict__.setdefault("_kill_signal", KillSignal())  # type: ignore[no-any-return]

    @property
    def _stays_in_slot(self) -> bool:
        """Whether the task waits for the reply in its slot, however long that takes."""
        return not self.deferrable

    def _kept(self, handle: RequestHandle, context: Context) -> dict[str, Any] | None:
        """What :meth:`execute_complete` gets besides the event."""
        return None

    def _may_be_resumed(self, handle: RequestHandle, context: Context) -> bool:
        """Whether Airflow may resume the task before the reply is there."""
        return False

    def _return(self, result: WorkflowResultEvent, context: Context, deadline: datetime | None = None) -> Any:
        """:param deadline: of the request that was waited for; None if it is not known any more."""
        if self.do_xcom_push:
            push_usage(result.usage, context, self.log)
        if self.link_fields is not None:
            self.link_fields = self.link_fields.with_thread(result.thread_id, result.thread_name)
        if result.status is ResultStatus.INTERRUPTED:
            return self._interrupted(result, context, deadline)
        schema = OutputSchema.of(self.output_schema)
        return return_value(result, self.result_format, context, self.log, schema, self._author_names)

    def _interrupted(self, result: WorkflowResultEvent, context: Context, deadline: datetime | None) -> Any:
        """What the task does whose graph asks a person."""
        show_questions(result, self._events_topic(), context, self.log)
        if self.on_interrupt == "return":
            note_returned(context)
            return question_of(result)
        raise error_for(result)

    def _defer(
        self, handle: RequestHandle, context: Context, waited_seconds: float, most_seconds: float | None
    ) -> NoReturn:
        if waited_seconds:
            self.log.info("No reply within %.1f s: the task defers, which frees its slot", waited_seconds)
        now = datetime.now(UTC)
        timeout = deferral_timeout(handle.deadline, now)
        if most_seconds is not None:
            if waited_seconds >= most_seconds:
                raise sensor_timeout(handle, most_seconds, self._canceller)
            timeout = min(timeout, timedelta(seconds=most_seconds - waited_seconds))
        self.defer(
            trigger=WorkflowResultTrigger(
                handle=handle.to_dict(),
                not_before=earliest_resume(now).isoformat(),
                cancel_on_kill=self.cancels_when_killed,
                may_be_resumed=self._may_be_resumed(handle, context),
            ),
            method_name="execute_complete",
            kwargs=self._kept(handle, context),
            timeout=timeout,
        )
