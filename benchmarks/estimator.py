"""ShiftClassifier and SVC, both with their defaults, on the tables of tests/test_estimator.py.

    python benchmarks/estimator.py [--out estimator.json]

Test accuracy in %, 40 % of the rows for testing (random state 21). The last table was used in tuning.
"""

from __future__ import annotations

import argparse
import json
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="write the results as JSON to this file")
    options = parser.parse_args()
    print(f"{'':16}{'SVC, raw':>12}{'standardised':>14}{'shiftlearn':>12}")
    results = {}
    for name, table in {**UNTUNED, "50 columns": wide}.items():
        x, y = table()
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.4, stratify=y, random_state=21)
        models = SVC(), make_pipeline(StandardScaler(), SVC()), ShiftClassifier(random_state=0)
        raw, scaled, ours = (100 * model.fit(x_train, y_train).score(x_test, y_test) for model in models)
        results[name] = {"svc": raw, "standardised svc": scaled, "shiftlearn": ours}
        print(f"{name:16}{raw:12.1f}{scaled:14.1f}{ours:12.1f}", flush=True)
    if options.out:
        Path(options.out).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
