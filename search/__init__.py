"""The shared constrained search: candidates, feasibility, NSGA-II, verification, result rows."""

from search.cached import CachedQuality, MemoryQualities, Quality, QualityStore
from search.calibrate import Calibrated, calibrate
from search.candidate import Candidate
from search.corrections import Corrections, verify_ranked
from search.cost import CostModel, Costs, Estimate, predict, with_exact
from search.evaluation import CachedMeasure, Scored, evaluate_members
from search.feasibility import Feasibility, check_feasible, feasibility
from search.nsga2 import Nsga2
from search.problem import Problem, resolve_budgets, source_values
from search.record import Ranked
from search.report import PairedGain, paired_gain, result_rows
from search.result import Evaluated, SearchResult
from search.run import Progress, search
from search.settings import SearchSettings
from search.verify import RESERVE, Measured, Verified, measured_value, verify_candidates

__all__ = [
    "RESERVE",
    "CachedMeasure",
    "CachedQuality",
    "Calibrated",
    "Candidate",
    "Corrections",
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
    "Ranked",
    "Scored",
    "SearchResult",
    "SearchSettings",
    "Verified",
    "calibrate",
    "check_feasible",
    "evaluate_members",
    "feasibility",
    "measured_value",
    "paired_gain",
    "predict",
    "resolve_budgets",
    "result_rows",
    "search",
    "source_values",
    "verify_candidates",
    "verify_ranked",
    "with_exact",
]
