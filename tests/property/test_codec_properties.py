from __future__ import annotations

import json
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from workflow_events import DecodeError, ResultStatus, WorkflowEvent, WorkflowResultEvent
from workflow_events.codec import Record, decode_event, decode_result, encode

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


def received(encoded):
    return Record("t", 0, 0, encoded.value, encoded.headers, encoded.key)


@given(data=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=5))
def test_any_json_input_survives_the_wire(data):
    event = WorkflowEvent(
        event_type="workflow.triggered", source="airflow", workflow_id="w", workflow_run_id="r", payload={"data": data}
    )
    assert decode_event(received(encode(event))) == event


@given(value=json_values)
def test_any_json_result_survives_and_repeats_as_the_same_bytes(value):
    result = WorkflowResultEvent(
        correlation_id=uuid4(), workflow_id="w", workflow_run_id="r", status=ResultStatus.SUCCESS, result=value
    )
    once = encode(result)
    assert encode(decode_result(received(once))).value == once.value


VALID = json.dumps(
    {"event_type": "workflow.triggered", "source": "airflow", "workflow_id": "w", "workflow_run_id": "r"}
).encode()


@given(
    body=st.binary(max_size=300)
    | st.builds(lambda at, junk: VALID[:at] + junk + VALID[at:], st.integers(0, len(VALID)), st.binary(max_size=8))
    | json_values.map(lambda value: json.dumps(value).encode())
)
def test_no_bytes_crash_the_reader(body):
    try:
        decode_event(Record("t", 0, 0, body))
    except DecodeError as error:
        assert str(error).startswith("t[0]@0: ")
