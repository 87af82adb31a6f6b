"""`kubeflow schedule`: when it is due, exactly once per name, with what the server fills in."""

from pathlib import Path

import pytest
from kubeflow.cluster_command import invoke
from kubeflow.cluster_files import compiled
from kubeflow.kfp_server import Fault, KfpServer

from components.errors import BadInput
from pipeline.cli.kubeflow.schedule import schedule as command
from pipeline.kubeflow.client import timetable

pytestmark = pytest.mark.usefixtures("hasty")

NIGHTLY = ("--cron", "0 0 2 * * *")


@pytest.fixture
def file(tmp_path) -> Path:
    return compiled(tmp_path)


def scheduled(server: KfpServer, *arguments: object):
    return invoke(command, *arguments, "--host", server.url, "--json")


def created(server: KfpServer, file: Path, *arguments: object):
    return scheduled(server, file, "--skip-lint", *arguments)


def test_a_schedule_runs_the_file_every_night_without_catching_up(server, file):
    answer = created(server, file, *NIGHTLY, "--param", "source=/data/[[ScheduledTime.20060102]]")
    assert answer.code == 0
    (made,) = server.schedules
    assert (made.display_name, made.trigger.cron_schedule.cron) == ("digits", "0 0 2 * * *")
    assert (made.no_catchup, made.max_concurrency, made.status) == (True, "1", "ENABLED")
    assert made.runtime_config.parameters == {"source": "/data/[[ScheduledTime.20060102]]"}
    assert made.pipeline_spec["pipelineInfo"]["name"] == "digits"
    assert answer.json["schedules"][0] == {
        "id": made.recurring_run_id,
        "name": "digits",
        "due": "cron 0 0 2 * * *",
        "enabled": True,
        "max_concurrency": 1,
        "catch_up": False,
        "experiment_id": made.experiment_id,
    }
    assert made.runtime_config.pipeline_root == "minio://mlpipeline/m"


def test_an_interval_with_a_window_and_more_at_a_time(server, file):
    window = ("--start", "2126-03-01T02:00:00Z", "--end", "2126-04-01T02:00:00+02:00")
    answer = created(server, file, "--every", "6h", "--max-concurrency", 3, "--catch-up", "--name", "often", *window)
    assert answer.json["schedules"][0]["due"] == "every 21600 s"
    (made,) = server.schedules
    assert made.trigger.periodic_schedule.start_time.isoformat() == "2126-03-01T02:00:00+00:00"
    assert made.trigger.periodic_schedule.end_time.isoformat() == "2126-04-01T02:00:00+02:00"
    assert (made.no_catchup, made.max_concurrency, made.display_name) == (False, "3", "often")


@pytest.mark.parametrize("arguments", [(), (*NIGHTLY, "--every", "6h")], ids=["neither", "both"])
def test_it_is_due_by_exactly_one_of_cron_and_interval(server, file, arguments):
    answer = created(server, file, *arguments)
    assert answer.code == 2
    assert "exactly one of --cron and --every" in answer.err
    assert server.asked == []


RARE = ("0 0 0 29 2 *", "0 0 0 31 1-3 ?", "0 0 0 31 2 mon", "0 0 0 30,1 2 *", "0 0 0 31 2,4/8 *", "0 0 0 20/5 feb *")


@pytest.mark.parametrize(
    "text",
    [
        "0 0 2 * * *",
        "*/15 * * ? * *",
        "0 0 9 ? * MON-FRI",
        "0 0,30 8-18/2 1,15 jan-MAR 0-6",
        "5/10 0 0 31 12 sat",
        *RARE,
    ],
)
def test_six_fields_as_kfp_reads_them_are_taken(text):
    assert timetable.six_fields(f" {text.replace(' ', '  ')} ") == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 2 * * *", r'five fields: .*crontab line; with the seconds in front: --cron "0 0 2 \* \* \*"'),
        ("@daily", "1 fields: wanted six: second, minute"),
        ("0 0 0 2 * * *", "7 fields"),
        ("60 0 2 * * *", "no second: wanted 0 to 59, a range of them, .*got 60"),
        ("0 60 2 * * *", "no minute"),
        ("0 0 24 * * *", "no hour: wanted 0 to 23"),
        ("0 0 2 0 * *", "no day of month: wanted 1 to 31"),
        ("0 0 2 * 13 *", "no month: wanted 1 to 12 or jan to dec"),
        ("0 0 2 * * 7", "no day of week: wanted 0 to 6 or sun to sat"),
        ("0 0 5-2 * * *", "no hour: .*got 5-2"),
        ("0 0 2-x * * *", "no hour"),
        ("0 */0 * * * *", "no step for the minute: wanted a whole number above 0"),
        ("0 */x * * * *", "no step for the minute"),
        ("0 0 2 L * *", "no day of month"),
        ("0 ,0 2 * * *", "no minute"),
        ("0 0 0 31 2 *", "never due: wanted a day of at most 29 in these months, got 31 2"),
        ("0 0 0 30,31 feb ?", "never due"),
        ("0 0 0 31 4,6,9-11/2 *", "never due: wanted a day of at most 30"),
        ("0 0 0 31 2/9 */2", "never due"),
    ],
)
def test_other_expressions_are_refused_by_field(text, message):
    with pytest.raises(BadInput, match=message):
        timetable.six_fields(text)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("6h", 21600), ("1d", 86400)])
def test_intervals_have_a_unit(text, seconds):
    assert timetable.seconds(text) == seconds


@pytest.mark.parametrize("text", ["6", "h", "0s", "-6h", "1w", "1.5h", "6h30m", ""])
def test_what_is_no_interval_is_refused(text):
    with pytest.raises(BadInput, match="wanted a number with s, m, h or d, such as 6h"):
        timetable.seconds(text)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("tomorrow", None, "--start: no time"),
        ("2026-03-01T02:00:00", None, "--start: no time zone"),
        ("2126-03-01T02:00:00Z", "2126-03-01T02:00:00Z", "--end: over before it begins"),
        (None, "2026-03-01T02:00:00Z", "--end: over already: wanted a time after 20"),
    ],
)
def test_a_window_that_is_none_is_refused(start, end, message):
    with pytest.raises(BadInput, match=message):
        timetable.read(None, "6h", start, end)


def test_a_name_that_is_taken_is_refused(server, file):
    created(server, file, *NIGHTLY)
    answer = created(server, file, "--every", "1h")
    assert answer.code == 2
    assert "digits: a schedule of this name is there already: got cron 0 0 2 * * *" in answer.err
    assert "--replace" in answer.err
    assert len(server.schedules) == 1


def test_a_schedule_is_replaced_after_the_new_one_is_there(server, file):
    old = created(server, file, *NIGHTLY).json["schedules"][0]["id"]
    answer = created(server, file, "--every", "1h", "--replace")
    assert [one["id"] for one in answer.json["replaced"]] == [old]
    assert [one.trigger.periodic_schedule.interval_second for one in server.schedules] == ["3600"]
    changes = [(method, path.rpartition("recurringruns")[2]) for method, path in server.asked if method != "GET"]
    assert changes[-3:] == [("POST", ""), ("POST", f"/{old}:disable"), ("DELETE", f"/{old}")]


def test_a_replacement_that_cannot_be_made_leaves_the_old_one(server, file):
    created(server, file, *NIGHTLY)
    server.faults.append(Fault(400, "POST", "/recurringruns"))
    assert created(server, file, "--every", "1h", "--replace").code == 2
    assert [one.status for one in server.schedules] == ["ENABLED"]


def test_an_old_one_that_cannot_be_removed_is_told(server, file):
    created(server, file, *NIGHTLY)
    server.faults.append(Fault(403, "DELETE", "/recurringruns"))
    answer = created(server, file, "--every", "1h", "--replace")
    assert answer.code == 4
    assert "two are there now" in answer.err
    assert sorted(one.status for one in server.schedules) == ["DISABLED", "ENABLED"]


def test_a_failure_after_the_schedule_was_made_does_not_make_a_second_one(server, file):
    server.faults.append(Fault(503, "POST", "/recurringruns", times=1, done=True))
    answer = created(server, file, *NIGHTLY)
    assert answer.code == 0
    (made,) = server.schedules
    assert answer.json["schedules"][0]["id"] == made.recurring_run_id


def test_a_misspelt_macro_is_refused(server, file):
    answer = created(server, file, *NIGHTLY, "--param", "source=[[SchedulTime]]")
    assert answer.code == 2
    assert "[[ScheduledTime]]" in answer.err


def test_a_placeholder_of_argos_in_a_schedules_name_is_refused(server, file):
    answer = created(server, file, *NIGHTLY, "--name", "nightly {{workflow.uid}}")
    assert answer.code == 2
    assert "the name: a placeholder of Argo's" in answer.err
    assert server.asked == []


@pytest.mark.parametrize("number", [0, 11])
def test_as_many_at_a_time_as_the_server_allows(server, file, number):
    answer = scheduled(server, file, *NIGHTLY, "--max-concurrency", number)
    assert "out of bounds: wanted a whole number from 1 to 10" in answer.err


def test_schedules_are_listed_and_deleted_by_name(server, file):
    created(server, file, *NIGHTLY)
    created(server, file, "--every", "6h", "--name", "often")
    listed = scheduled(server, "--list")
    assert [one["name"] for one in listed.json["schedules"]] == ["digits", "often"]
    deleted = scheduled(server, "--delete", "often", "--experiment", "digits")
    assert [one["name"] for one in deleted.json["schedules"]] == ["often"]
    assert [one.display_name for one in server.schedules] == ["digits"]
    unknown = scheduled(server, "--delete", "never")
    assert unknown.code == 2
    assert "no such schedule: wanted one of digits, got never" in unknown.err


def test_another_experiment_may_have_a_schedule_of_the_same_name(server, file):
    created(server, file, *NIGHTLY)
    assert created(server, file, *NIGHTLY, "--experiment", "theirs").code == 0
    assert len(server.schedules) == 2


def test_a_replacement_leaves_what_is_another_experiments(server, file):
    theirs = created(server, file, *NIGHTLY, "--experiment", "theirs").json["schedules"][0]["id"]
    ours = created(server, file, *NIGHTLY).json["schedules"][0]["id"]
    answer = created(server, file, "--every", "1h", "--replace")
    assert [one["id"] for one in answer.json["replaced"]] == [ours]
    assert theirs in [one.recurring_run_id for one in server.schedules]


def test_what_is_to_be_replaced_or_removed_is_named_if_another_experiment_has_it(server, file):
    theirs = created(server, file, *NIGHTLY, "--experiment", "theirs").json["schedules"][0]["id"]
    for answer in (created(server, file, "--every", "1h", "--replace"), scheduled(server, "--delete", "digits")):
        assert answer.code == 2
        assert "digits: a schedule of another experiment has this name: wanted one in experiment digits" in answer.err
        assert (
            f"got cron 0 0 2 * * *, id {theirs}, in experiment theirs: --experiment theirs means that one" in answer.err
        )
    assert [(one.recurring_run_id, one.status) for one in server.schedules] == [(theirs, "ENABLED")]
    assert scheduled(server, "--delete", "digits", "--experiment", "theirs").code == 0
    assert server.schedules == []


def test_the_list_is_a_table(server, file):
    created(server, file, *NIGHTLY)
    out = invoke(command, "--list", "--host", server.url).out
    assert "cron 0 0 2 * * *" in out
    assert server.schedules[0].recurring_run_id in out


@pytest.mark.parametrize("arguments", [(), (__file__, "--list"), ("--list", "--delete", "x")])
def test_one_thing_is_done_at_a_time(server, arguments):
    assert "exactly one of FILE, --list and --delete NAME" in scheduled(server, *arguments).err
