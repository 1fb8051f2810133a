"""ShiftClassifier and SVC, both with their defaults, on the tables of tests/test_estimator.py.

    python benchmarks/estimator.py

Test accuracy in %, 40 % of the rows for testing (random state 21). The last table was used in tuning.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from shiftlearn import ShiftClassifier

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from test_estimator import UNTUNED


def wide():
    """50 columns, of which 15 are informative."""
    return make_classification(600, 50, n_informative=15, n_classes=4, random_state=104)


print(f"{'':16}{'SVC, raw':>12}{'standardised':>14}{'shiftlearn':>12}")
for name, table in {**UNTUNED, "50 columns": wide}.items():
    x, y = table()
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.4, stratify=y, random_state=21)
    models = SVC(), make_pipeline(StandardScaler(), SVC()), ShiftClassifier(random_state=0)
    raw, scaled, ours = (100 * model.fit(x_train, y_train).score(x_test, y_test) for model in models)
    print(f"{name:16}{raw:12.1f}{scaled:14.1f}{ours:12.1f}", flush=True)
