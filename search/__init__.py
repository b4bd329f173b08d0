"""The shared constrained search: candidates, feasibility, NSGA-II, verification, result rows."""

from search.cached import CachedQuality, MemoryQualities, Quality, QualityStore
from search.calibrate import Calibrated
from search.candidate import Candidate
from search.cost import CostModel, Costs, Estimate, predict, with_exact
from search.feasibility import Feasibility, check_feasible, feasibility
from search.nsga2 import Nsga2
from search.problem import Problem, resolve_budgets, source_values
from search.report import PairedGain, Row, paired_gain, result_rows
from search.result import Evaluated, SearchResult, reprice
from search.run import Progress, search
from search.settings import SearchSettings
from search.verify import Measured, Verified, measured_value, verify_candidates

__all__ = [
    "CachedQuality",
    "Calibrated",
    "Candidate",
    "CostModel",
    "Costs",
    "Estimate",
    "Evaluated",
    "Feasibility",
    "Measured",
    "MemoryQualities",
    "Nsga2",
    "PairedGain",
    "Problem",
    "Progress",
    "Quality",
    "QualityStore",
    "Row",
    "SearchResult",
    "SearchSettings",
    "Verified",
    "check_feasible",
    "feasibility",
    "measured_value",
    "paired_gain",
    "predict",
    "reprice",
    "resolve_budgets",
    "result_rows",
    "search",
    "source_values",
    "verify_candidates",
    "with_exact",
]
