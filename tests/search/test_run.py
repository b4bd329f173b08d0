from __future__ import annotations

import itertools

import numpy as np
import pytest

from fleetfit import Architecture, Budget, InfeasibleError, InputError, LayerTable, Precision
from search import (
    Candidate,
    Problem,
    SearchSettings,
    resolve_budgets,
    search,
    source_values,
)
from supernet.spaces import ElasticSpace
from tests.search.toy import (
    BF16,
    FP32,
    OPENVINO,
    WORKLOAD,
    ToyQuality,
    every_member,
    toy_costs,
    toy_loss,
    toy_problem,
)

SETTINGS = SearchSettings(population=16, offspring=4, pool=24, evaluations=40, samples=32)


def relative(space: ElasticSpace, share: int, *others: str) -> Problem:
    """``toy_problem`` at a share of the source model's latency in its fastest target."""
    costs = toy_costs()
    source = source_values(space, (FP32, BF16), costs, WORKLOAD)
    budgets = [Budget.parse(f"latency_p50<={share}%"), *map(Budget.parse, others)]
    return Problem(
        space=space,
        targets=(FP32, BF16),
        budgets=resolve_budgets(budgets, source),
        costs=costs,
        workload=WORKLOAD,
    )


def brute_force(problem: Problem, genomes: np.ndarray) -> float:
    """Lowest loss of all feasible members in all targets."""
    best = float("inf")
    table = problem.space.layer_table(genomes)
    for target in problem.targets:
        for k in np.flatnonzero(problem.excess(table, target) <= 0):
            arch = problem.space.architecture(genomes[k])
            best = min(best, toy_loss(arch, target.precision))
    return best


@pytest.mark.parametrize("share", [40, 55, 70])
def test_finds_the_brute_force_optimum_within_tolerance(
    tiny_space: ElasticSpace, share: int
) -> None:
    problem = relative(tiny_space, share)
    best = brute_force(problem, every_member(tiny_space))
    found = search(problem, ToyQuality(), settings=SETTINGS)
    assert found.winner.loss <= best + 0.02
    assert found.winner.loss >= best


@pytest.mark.parametrize(("share", "seed"), list(itertools.product([40, 55, 70, 100], [0, 1])))
def test_is_never_below_the_best_feasible_uniform_network(
    tiny_space: ElasticSpace, share: int, seed: int
) -> None:
    problem = relative(tiny_space, share)
    uniform = np.array([tiny_space.genome(a) for a in tiny_space.uniform()])
    settings = SearchSettings(population=16, evaluations=24, pool=16, samples=8, seed=seed)
    found = search(problem, ToyQuality(), settings=settings)
    assert found.winner.loss <= brute_force(problem, uniform)


def test_asks_no_pair_twice_and_none_that_is_predicted_infeasible(
    tiny_space: ElasticSpace,
) -> None:
    problem, quality = relative(tiny_space, 55), ToyQuality()
    found = search(problem, quality, settings=SETTINGS)
    assert len(set(quality.asked)) == len(quality.asked)
    assert all(e.feasible for e in found.evaluated)
    known = {
        (e.candidate.architecture.id, e.candidate.target.precision)
        for e in (*found.evaluated, *found.source)
    }
    assert set(quality.asked) == known


def test_no_candidate_appears_twice(tiny_space: ElasticSpace) -> None:
    problem = toy_problem(tiny_space, targets=(FP32, OPENVINO, BF16))
    found = search(problem, ToyQuality(), settings=SETTINGS)
    candidates = [e.candidate for e in found.evaluated]
    assert len(set(candidates)) == len(candidates)


def test_equal_seeds_give_equal_results(tiny_space: ElasticSpace) -> None:
    problem = relative(tiny_space, 55)
    runs = [search(problem, ToyQuality(), settings=SETTINGS) for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_small_space_is_exhausted_and_the_search_ends(tiny_source: Architecture) -> None:
    from supernet.spaces import ElasticChoices

    choices = ElasticChoices(
        depths=(3,), embedding_widths=(32,), widths=(32,), heads=(2, 4), ffns=(64,)
    )
    space = ElasticSpace(source=tiny_source, choices=choices)
    settings = SearchSettings(population=8, evaluations=1000, pool=64, samples=4)
    found = search(toy_problem(space, targets=(FP32,)), ToyQuality(), settings=settings)
    assert found.asked <= space.size == 8
    assert found.winner.candidate.architecture == space.largest()


def test_stops_at_the_evaluations_and_reports_each_step(tiny_space: ElasticSpace) -> None:
    steps: list[tuple[int, int, float]] = []
    settings = SearchSettings(population=8, evaluations=10, offspring=4, pool=16, samples=8)
    quality = ToyQuality()
    found = search(
        relative(tiny_space, 55),
        quality,
        settings=settings,
        progress=lambda *step: steps.append(step),
    )
    assert found.asked == 10
    assert [s[0] for s in steps] == [4, 8, 10]
    assert [s[2] for s in steps] == sorted((s[2] for s in steps), reverse=True)


def test_the_front_is_feasible_and_not_dominated(tiny_space: ElasticSpace) -> None:
    found = search(relative(tiny_space, 70), ToyQuality(), settings=SETTINGS)
    pairs = [(e.latency_s, e.loss) for e in found.front]
    assert pairs == sorted(pairs)
    assert all(a[1] > b[1] for a, b in itertools.pairwise(pairs))
    assert all(e.feasible for e in found.front)
    assert found.front[-1] == found.winner


def test_an_infeasible_budget_is_refused_before_any_evaluation(tiny_space: ElasticSpace) -> None:
    quality = ToyQuality()
    problem = toy_problem(tiny_space, "latency_p50<=1us")
    with pytest.raises(InfeasibleError, match=r"nearest is 2L .* where latency_p50<=0\.001ms") as e:
        search(problem, quality, settings=SETTINGS)
    assert e.value.exit_code == 3
    assert not quality.asked


@pytest.mark.parametrize(
    "text",
    [
        "latency_p50<=60%",
        "latency_p90<=60%",
        "memory<=98.5%",
        "params<=60%",
        "size<=70%",
        "throughput>=150%",
    ],
)
def test_a_budget_of_every_cost_metric_is_kept(tiny_space: ElasticSpace, text: str) -> None:
    costs = toy_costs(spread=0.05)
    source = source_values(tiny_space, (FP32, BF16), costs, WORKLOAD)
    (budget,) = resolve_budgets([Budget.parse(text)], source)
    problem = Problem(
        space=tiny_space, targets=(FP32, BF16), budgets=(budget,), costs=costs, workload=WORKLOAD
    )
    found = search(problem, ToyQuality(), settings=SETTINGS)
    for evaluated in found.evaluated:
        estimate = evaluated.costs[budget.metric]
        end = estimate.upper if budget.relation == "<=" else estimate.lower
        assert budget.excess(end) <= 0


def test_a_quality_drop_is_judged_after_evaluation(tiny_space: ElasticSpace) -> None:
    found = search(toy_problem(tiny_space, "quality_drop<=47%"), ToyQuality(), settings=SETTINGS)
    source = min(e.loss for e in found.source)
    assert {e.feasible for e in found.evaluated} == {True, False}
    assert all(e.feasible == (e.loss <= 1.47 * source) for e in found.evaluated)


def test_a_quality_drop_that_none_keeps_ends_with_the_nearest(tiny_space: ElasticSpace) -> None:
    problem = relative(tiny_space, 45, "quality_drop<=0.1%")
    with pytest.raises(InfeasibleError, match="nearest is"):
        search(problem, ToyQuality(), settings=SETTINGS)


def test_a_loss_that_is_not_finite_is_refused(tiny_space: ElasticSpace) -> None:
    def broken(pairs: list[tuple[Architecture, Precision]]) -> list[float]:
        return [float("nan")] * len(pairs)

    with pytest.raises(InputError, match="finite"):
        search(toy_problem(tiny_space), broken, settings=SETTINGS)  # type: ignore[arg-type]


def test_the_pessimistic_end_is_held_against_the_limit(tiny_space: ElasticSpace) -> None:
    table = LayerTable.of([tiny_space.largest()])
    sure = toy_problem(tiny_space, "latency_p50<=8ms")
    limit = toy_costs()["latency_p50"].predict_table(table, FP32, WORKLOAD).mean[0]
    exact = Budget(metric="latency_p50", relation="<=", limit=float(limit))
    for spread, kept in ((0.0, True), (0.01, False)):
        problem = Problem(
            space=sure.space,
            targets=(FP32,),
            budgets=(exact,),
            costs=toy_costs(spread),
            workload=WORKLOAD,
        )
        assert (problem.excess(table, FP32)[0] <= 0) is np.bool_(kept)


def test_other_targets_of_a_precision_share_the_loss(tiny_space: ElasticSpace) -> None:
    quality = ToyQuality()
    problem = toy_problem(tiny_space, targets=(FP32, OPENVINO))
    found = search(problem, quality, settings=SETTINGS)
    arch = found.winner.candidate.architecture
    both = [Candidate(architecture=arch, target=t) for t in (FP32, OPENVINO)]
    assert set(both) <= {e.candidate for e in found.evaluated}
    assert quality.asked.count((arch.id, "fp32")) == 1
