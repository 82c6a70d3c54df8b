"""
### Releases a control policy to a channel, if Gate 5 says yes

`receive` says which candidate the run is about, and starts a run for each further one that was announced with it.
`resolve` reads the checkpoint, `export` writes it as ONNX, `look_up` ends the run where the same was judged before,
`build` makes the inference engine, `verify` compares the two, `benchmark` times the engine alone on the accelerator,
`evaluate` lets it drive the plant in every scenario beside the PID baseline, `falsify` searches for the worst case,
`stress` drives what can go wrong, `gate` applies the rules.
Then the policy is **promoted**, or **rejected**: a rejected run is a failed run.

Start it by hand (the form asks for checkpoint, configuration, channel, SLA and approval), announce a candidate with
`gate5 candidate PATH` (asset `gate5_candidate`), or give `schedule.cron` in the configuration. With `other_gpus` each
kind of GPU has such a DAG, and each judges what is announced.

The tab **Gate 5** of a run shows its report. Artifacts lie in the run's workspace; tasks hand on only references and
numbers. Bad input and verdicts are never tried again; a store, network or accelerator that failed is.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, TaskGroup, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from gate5_dag.approval import ReleaseApproval
from gate5_dag.failed import on_failure
from gate5_dag.gpus import FIRST_GPU, Gpu, gpus, refuse_other_kind
from gate5_dag.hand_on import HandOn
from gate5_dag.links import link
from gate5_dag.moved import EMITS
from gate5_dag.settings import CANDIDATE, RECENT, RETRY, release_params, schedule
from gate5_dag.stage_task import stage_task
from gate5_dag.told import deadline


def minutes(count: int) -> dict[str, Any]:
    """A task's time limit."""
    return {"execution_timeout": timedelta(minutes=count)}


@task(inlets=[CANDIDATE], **RETRY, **minutes(15))
def receive(inlet_events: Any = None) -> list[dict[str, Any]]:
    """Say which candidate this run judges: the form's, or of those announced the first that no other run has.

    Airflow may hand several announcements to one run. With `schedule.on_many: all` each of the others gets a run of its
    own (`hand_on`), with `newest` they are recorded as superseded; `gate5 candidates` lists what became of each.
    """
    from gate5_dag.receiving import receive_candidate
    from gate5_dag.tasks import stage_errors

    with stage_errors():
        return receive_candidate(inlet_events[CANDIDATE].ascending(False).limit(RECENT))


@stage_task(**RETRY, **minutes(15))
def resolve() -> dict[str, Any]:
    """Find, read and hash the candidate, and freeze the configuration into the run's workspace.

    The checkpoint is read without running any code from it. An announced candidate must have the announced hash. A
    store that cannot be used ends the run here, and not after an hour of evaluation.
    """
    from gate5.pipeline import promote, stages
    from gate5.pipeline.candidate import refuse_held_run
    from gate5_dag.candidate import RECEIVED, candidate_of, unattended
    from gate5_dag.credentials import store_credentials
    from gate5_dag.metrics import timed_stage
    from gate5_dag.origin import note_origin
    from gate5_dag.tasks import load_config, log, run_workspace, stage_errors

    context = get_current_context()
    received = context["ti"].xcom_pull(task_ids="receive", key=RECEIVED)
    with stage_errors():
        candidate = candidate_of(received)
        config = load_config(context["params"])
        refuse_other_kind(config)
        with store_credentials(config), timed_stage("resolve", config.release.channel):
            promote.check_store(config)
            note_origin(run_workspace())
            result = stages.resolve(
                run_workspace(), config, candidate.source, unattended=unattended(context), announced=candidate.at
            )
        candidate.check(result.policy_sha256, result.vecnormalize_sha256)
        with store_credentials(config):
            refuse_held_run(run_workspace(), config)
    log.info("%s", result.line())
    return result.to_dict()


@task(**RETRY, **minutes(5))
def scenarios() -> list[str]:
    """The scenarios that this release has to cover; none at all is an error, not a run without evaluation."""
    from gate5.pipeline import stages
    from gate5_dag.tasks import run_workspace, stage_errors

    with stage_errors():
        names = stages.scenarios(stages.load_run_config(run_workspace()))
    if not names:
        raise AirflowFailException(
            "The release covers no scenario: name some in evaluation.scenarios, or set it to null."
        )
    return names


@stage_task(**RETRY, **minutes(30))
def export() -> dict[str, Any]:
    """Write the whole policy function as ONNX and compare it with the policy on closed-loop observations."""
    from gate5.pipeline import stages
    from gate5_dag.tasks import perform

    return perform(stages.export)


@task(**RETRY, **minutes(15))
def look_up() -> dict[str, Any]:
    """End the run where the same was judged before: policy, rules, plant, hardware. A person's run goes on."""
    from gate5_dag.judged import look_up_judgement
    from gate5_dag.tasks import stage_errors

    with stage_errors():
        return look_up_judgement()


@stage_task(**RETRY, **minutes(60))
def build() -> dict[str, Any]:
    """Build the engine for the hardware of the worker that this runs on."""
    from gate5.pipeline import stages
    from gate5_dag.tasks import perform

    return perform(stages.build)


@stage_task(**RETRY, **minutes(30))
def verify() -> dict[str, Any]:
    """Compare the engine with the ONNX graph; the numbers are judged later, by the gate."""
    from gate5.pipeline import stages
    from gate5_dag.tasks import perform

    return perform(stages.verify)


@stage_task(**RETRY, **minutes(30))
def benchmark() -> dict[str, Any]:
    """Time the engine host to host. It takes every slot of the pool, so that nothing else runs on the accelerator."""
    from gate5.pipeline import stages
    from gate5_dag.tasks import perform

    return perform(stages.benchmark)


@stage_task(map_index_template="{{ task.op_kwargs['scenario'] }}", **RETRY, **minutes(120))
def evaluate(scenario: str) -> dict[str, Any]:
    """Let the engine and the PID baseline drive one scenario on the same seeds."""
    from gate5.pipeline import stages
    from gate5_dag.tasks import perform

    return perform(stages.evaluate, scenario)


@stage_task(map_index_template="{{ task.op_kwargs['scenario'] }}", **RETRY, **minutes(120))
def falsify(scenario: str) -> dict[str, Any]:
    """Search the declared ranges for the worst case, the engine in the loop."""
    from gate5.pipeline import robustness
    from gate5_dag.credentials import at_the_store
    from gate5_dag.tasks import perform

    return perform(at_the_store(robustness.falsify), scenario)


@stage_task(map_index_template="{{ task.op_kwargs['scenario'] }}", **RETRY, **minutes(120))
def stress(scenario: str) -> dict[str, Any]:
    """Drive what the plant declares can go wrong, level by level, beside the baseline."""
    from gate5.pipeline import robustness
    from gate5_dag.tasks import perform

    return perform(robustness.stress, scenario)


@stage_task(**RETRY, **minutes(15))
def compare() -> dict[str, Any]:
    """Put the scenarios together: policy against PID, paired."""
    from gate5.pipeline import stages
    from gate5_dag.tasks import perform

    return perform(stages.compare)


# Fed by `look_up`, too: where a person marks a measurement as skipped this runs, and fails for want of it. Without, all
# that follows would be skipped and the run end green without a verdict. Where `look_up` ends the run, it is skipped.
@stage_task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, **RETRY, **minutes(15))
def gate() -> dict[str, Any]:
    """Judge the measurements by the rules: pass, fail, or error where one is missing."""
    from gate5.pipeline import stages
    from gate5_dag.metrics import judged
    from gate5_dag.tasks import judgement_of_run, perform, run_workspace

    result = perform(stages.gate)
    judged(judgement_of_run(), stages.load_run_config(run_workspace()).release.channel)
    return result


# Before the branch, so that an approver has the report, and not a teardown after it: a run that a person marks as
# failed while it waits would go on to its teardown and end green, because only skipped tasks are left.
@stage_task(**RETRY, **minutes(15))
def report() -> dict[str, Any]:
    """Write the HTML report that the tab Gate 5 shows."""
    from gate5.pipeline import stages
    from gate5_dag.tasks import perform

    return perform(stages.report)


# Fed by `look_up`, as `gate` is: where a person marks `gate` as skipped this fails for want of a verdict.
@task.branch(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, **RETRY, **minutes(5))  # whatever became of `report`
def decide() -> str:
    """`reject` unless the verdict is pass or awaiting proof; `approval` where a person is asked, else `promote`."""
    from gate5.config.verdicts import RELEASED
    from gate5.pipeline import stages
    from gate5_dag.tasks import run_workspace, stage_errors, verdict_of_run

    with stage_errors():
        if verdict_of_run() not in RELEASED:
            return "reject"
        config = stages.load_run_config(run_workspace())
    return "approval" if config.release.approval == "required" else "promote"


# Fed only by the two branches: with another upstream this rule would let the task run on the path not taken.
@stage_task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, **EMITS, **RETRY, **minutes(30))
def promote() -> dict[str, Any]:
    """Publish the release and move the channel to it. Doing it again finds the release that is there.

    It reads what was measured, the verdict and the approval from the run's workspace. A task that was marked as done by
    hand has left nothing there, and then nothing is promoted. What a try promoted that was killed before it could say
    so is found by the next one, and stands. Where nobody started the run and the channel has another
    release by now than the one that the candidate was compared with, a further run judges it again.
    """
    from gate5.errors import InputError
    from gate5.pipeline import approval, promote, stages
    from gate5_dag.again import or_again, start_again
    from gate5_dag.credentials import at_the_store
    from gate5_dag.judged import tell_end
    from gate5_dag.moved import once, tell_moved
    from gate5_dag.tasks import perform, refresh_report, run_workspace, stage_errors, verdict_of_run

    with stage_errors():
        workspace = run_workspace()
        config = stages.load_run_config(workspace)
        if config.release.approval == "required" and approval.read(workspace) is None:
            raise InputError("The release needs an approval and nobody gave one: clear the task `approval`.")
    result = perform(at_the_store(or_again(once(promote.promote))))
    refresh_report()
    if "reasons" in result:
        tell_end("judged_again", result["reasons"][0])
        start_again(result["reasons"])
    outcome = "superseded" if result["outcome"] == "superseded" else "promoted"
    tell_end(outcome, result["sentence"], release=result["release_id"])
    tell_moved(result, config, verdict=verdict_of_run())
    return result


@stage_task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, **RETRY, **minutes(15))
def reject() -> None:
    """Record why the candidate is not released, and fail: a refusal is never a green run."""
    from gate5.pipeline import promote
    from gate5_dag.credentials import at_the_store
    from gate5_dag.judged import tell_end
    from gate5_dag.tasks import perform, refresh_report, refusal, verdict_of_run
    from gate5_dag.told import tell

    reasons = perform(at_the_store(promote.reject), **refusal())["reasons"]
    refresh_report()
    tell_end("refused", "; ".join(reasons), reasons=reasons)
    tell("refused", reasons[0] if reasons else "no reason was recorded", verdict=verdict_of_run())
    get_current_context()["ti"].xcom_push(key="reasons", value=reasons)
    raise AirflowFailException("Not released: " + "; ".join(reasons))


def policy_release(gpu: Gpu = FIRST_GPU) -> DAG:
    """The DAG that releases for a kind of GPU; all have the same graph, and each its own workers and channel."""
    with DAG(
        dag_id=gpu.dag_id,
        schedule=schedule(),
        deadline=deadline(),
        params=release_params(gpu.channel),
        catchup=False,
        max_active_runs=4,
        doc_md=__doc__,
        description="Checkpoint to engine to Gate 5 to channel" + (f", on the GPU {gpu.kind}" if gpu.kind else ""),
        tags=["gate5"],
        default_args={"owner": "gate5", "on_failure_callback": on_failure},
    ) as release:
        wire(gpu)
    return release


def wire(gpu: Gpu) -> None:
    """Wire the stages, in four groups that the graph shows as one box each until they are opened.

    Task ids have no prefix: links, plugins and whoever asks Airflow's API know them as they are.
    """
    with group("candidate_group", "candidate", "Which policy, and was it judged before"):
        received, candidate, names, graph = receive(), resolve(), scenarios(), export()
        before = look_up.override(**gpu.task)()
        HandOn.partial(
            task_id="hand_on", trigger_dag_id=gpu.dag_id, doc_md=HandOn.__doc__, **RETRY, **minutes(5)
        ).expand_kwargs(received)
    with group("prove_group", "prove", "The engine is the policy, and is fast enough"):
        engine, verified = build.override(**gpu.task)(), verify.override(**gpu.task)()
        timed = benchmark.override(**gpu.alone)()
    with group("evaluate_group", "evaluate", "The engine drives the plant: as planned, at worst, disturbed"):
        driven = [stage.override(**gpu.task).expand(scenario=names) for stage in (evaluate, falsify, stress)]
        compared = compare()
    with group("decide_group", "decide", "The rules, a person where one is asked, and the channel"):
        judged, reported, decision, promoted, rejected = gate(), report(), decide(), promote(), reject()
        ask = ReleaseApproval(
            task_id="approval", promote="promote", reject="reject", retries=0, doc_md=ReleaseApproval.__doc__
        )
    link(judged, reported, promoted, rejected)

    received >> candidate >> [graph, names]
    graph >> engine
    graph >> before >> engine >> verified >> timed >> driven >> compared >> judged >> reported >> decision
    before >> judged >> decision
    before >> decision
    decision >> [ask, promoted, rejected]
    ask >> [promoted, rejected]


def group(group_id: str, name: str, tooltip: str) -> TaskGroup:
    """A box of the graph; its id is none of a task, and its name is what people read."""
    return TaskGroup(group_id, group_display_name=name, tooltip=tooltip, prefix_group_id=False)


for kind in gpus():
    policy_release(kind)
