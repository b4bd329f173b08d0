"""Cost of an architecture without running it, with its uncertainty."""

from predictors.base import Predictor
from predictors.constant import ConstantPredictor
from predictors.cost import LEAST_ROWS, CostPredictor
from predictors.curve import LearningCurve
from predictors.exact import FileSize, ParameterCount
from predictors.learning import evaluate, learn, learning_curves
from predictors.metric import CostMetric
from predictors.prediction import Prediction
from predictors.provenance import Provenance
from predictors.report import Errors, Report

__all__ = [
    "LEAST_ROWS",
    "ConstantPredictor",
    "CostMetric",
    "CostPredictor",
    "Errors",
    "FileSize",
    "LearningCurve",
    "ParameterCount",
    "Prediction",
    "Predictor",
    "Provenance",
    "Report",
    "evaluate",
    "learn",
    "learning_curves",
]
