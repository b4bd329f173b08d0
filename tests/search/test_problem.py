from __future__ import annotations

import numpy as np
import pytest

from exporters import emit, random_weights
from fleetfit import Budget, InputError, LayerTable
from search import Problem, feasibility, resolve_budgets, source_values, with_exact
from supernet.spaces import ElasticSpace
from tests.search.toy import BF16, FP32, OPENVINO, WORKLOAD, toy_costs, toy_problem


def test_relative_budgets_are_shares_of_the_fastest_target() -> None:
    source = {
        FP32: {"latency_p50": 0.02, "memory": 300.0},
        BF16: {"latency_p50": 0.01, "memory": 200.0},
    }
    budgets = [Budget.parse("latency_p50<=50%"), Budget.parse("memory<=50%")]
    resolved = resolve_budgets(budgets, source)  # type: ignore[arg-type]
    assert [b.limit for b in resolved] == [0.005, 100.0]


def test_a_relative_budget_without_the_sources_value_is_refused() -> None:
    with pytest.raises(InputError, match="source model's memory"):
        resolve_budgets([Budget.parse("memory<=50%")], {FP32: {"latency_p50": 1.0}})
    with pytest.raises(InputError, match="latency_p50"):
        resolve_budgets([Budget.parse("memory<=50%")], {FP32: {"memory": 1.0}})


def test_absolute_budgets_need_no_source() -> None:
    budget = Budget.parse("latency_p50<=5ms")
    assert resolve_budgets([budget], {}) == (budget,)


def test_a_problem_refuses_relative_budgets_missing_models_and_equal_targets(
    tiny_space: ElasticSpace,
) -> None:
    with pytest.raises(InputError, match="absolute"):
        toy_problem(tiny_space, "latency_p50<=50%")
    with pytest.raises(InputError, match="differ"):
        toy_problem(tiny_space, targets=(FP32, FP32))
    with pytest.raises(InputError, match="cost model of memory"):
        Problem(
            space=tiny_space,
            targets=(FP32,),
            budgets=(Budget.parse("memory<=1MiB"),),
            costs={"latency_p50": toy_costs()["latency_p50"]},
        )


def test_throughput_is_batch_over_latency_with_its_bounds_swapped(
    tiny_space: ElasticSpace,
) -> None:
    problem = toy_problem(tiny_space, "throughput>=1/s", spread=0.1)
    (row,) = problem.estimates(LayerTable.of([tiny_space.largest()]), FP32)
    assert row["throughput"].lower == pytest.approx(1 / row["latency_p50"].upper)
    assert row["throughput"].upper == pytest.approx(1 / row["latency_p50"].lower)


@pytest.mark.parametrize("metric", ["params", "size"])
def test_counted_costs_are_in_order(tiny_space: ElasticSpace, metric: str) -> None:
    model = with_exact({})[metric]  # type: ignore[index]
    table = LayerTable.of([tiny_space.smallest(), tiny_space.largest()])
    found = model.predict_table(table, FP32, WORKLOAD)
    assert (np.diff(found.mean) > 0).all()
    assert (found.upper >= found.mean).all()


def test_the_size_of_an_emitted_file_lies_within_its_bounds(tiny_space: ElasticSpace) -> None:
    for arch in (tiny_space.smallest(), tiny_space.largest()):
        written = len(emit(arch, random_weights(arch)).SerializeToString())
        found = with_exact({})["size"].predict_table(LayerTable.of([arch]), FP32, WORKLOAD)
        assert found.lower[0] <= written <= found.upper[0]


def test_row_excess_equals_excess_of_each_row(tiny_space: ElasticSpace) -> None:
    problem = toy_problem(tiny_space, "latency_p50<=1ms", targets=(FP32, OPENVINO, BF16))
    rng = np.random.default_rng(0)
    archs = [tiny_space.sample(rng) for _ in range(12)]
    genomes = np.array([tiny_space.genome(a) for a in archs])
    targets, factor = rng.integers(3, size=12), rng.choice([0.5, 1.0], size=12)
    found = problem.row_excess(genomes, targets, tighten=factor)
    for row, arch in enumerate(archs):
        target = problem.targets[targets[row]]
        alone = problem.excess(LayerTable.of([arch]), target, tighten=factor[row])
        assert found[row] == pytest.approx(alone[0])


def test_the_feasibility_table_tells_smallest_largest_and_share(tiny_space: ElasticSpace) -> None:
    source = source_values(tiny_space, (FP32, BF16), toy_costs(), WORKLOAD)
    limit = source[FP32]["latency_p50"] * 1e3
    problem = toy_problem(tiny_space, f"latency_p50<={limit * 0.6:.6f}ms", "params<=1K")
    rows = feasibility(problem, samples=64, seed=0)
    assert [(r.target, r.budget.metric) for r in rows] == [
        (t, m) for t in (FP32, BF16) for m in ("latency_p50", "params")
    ]
    latency, params = rows[:2]
    assert latency.largest == pytest.approx(source[FP32]["latency_p50"])
    assert latency.smallest < latency.largest
    assert 0 < latency.share < rows[2].share <= 1
    assert params.share == params.share_all == latency.share_all == 0
