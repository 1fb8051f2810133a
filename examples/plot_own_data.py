"""
Your own data: arrays and CSV files
===================================

Arrays go to ``ShiftClassifier``; a CSV file is a dataset of the command line and of recipes.
"""

# %%
# **Arrays**: it is a classifier of scikit-learn, so cross-validation, pipelines and searches work as usual.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold, cross_val_predict

import shiftlearn as sl

X, y = load_wine(return_X_y=True)
folds = StratifiedKFold(3, shuffle=True, random_state=0)
answers = cross_val_predict(sl.ShiftClassifier(max_iter=30, n_members=1, random_state=0), X, y, cv=folds)
print(f"{(answers == y).mean():.1%} in 3-fold cross-validation, at its default settings but for 30 epochs")

# %%
# **A CSV file**, as it may come from a spreadsheet: text, numbers, a missing cell. The command line would say
# ``shiftlearn train flowers.csv --target kind``; this is the same in Python.

from shiftlearn import recipes, train

folder = Path(tempfile.mkdtemp())
rows = [
    f"{length + k % 7 / 10:.1f};{'' if k == 3 else width + k % 5 / 10};{colour};{kind}"
    for kind, length, width, colour in (("rose", 4, 2, "red"), ("iris", 6, 2, "blue"), ("lily", 5, 4, "white"))
    for k in range(40)
]
(folder / "flowers.csv").write_text("\n".join(["length;width;colour;kind", *rows]))

settings = {"dataset": str(folder / "flowers.csv"), "target": "kind", "epochs": 20}
metrics = train(recipes.override(recipes.read("table"), settings), folder / "run")
model = sl.load(folder / "run")
print(f"{metrics['test_accuracy']:.0%} of {metrics['test_samples']} rows set aside; classes {model.classes}")

# %%
# New rows come as columns, in the units of the file. ``shiftlearn predict run new.csv`` reads them from a file.

import numpy as np

new = [np.array([4.1, 6.2]), np.array([2.2, np.nan]), np.array(["red", None], dtype=object)]
for label, scores in zip(model.predict(new), model.predict_proba(new), strict=True):
    print(model.classes[label], scores.round(2))

# %%
# When the output neurons fired, for each row of the file: the class whose neuron is first is the answer, so the irises
# belong below the diagonal.

from shiftlearn.data.tables.table import read_csv

table = read_csv(folder / "flowers.csv", target="kind")
t = np.log(model.z_out(table.columns))
iris = table.classes.index("iris")
others = np.delete(t, iris, axis=1).min(1)
figure, ax = plt.subplots(figsize=(5, 4.2), layout="constrained")
for number, marker in enumerate("osv"):
    rows = table.labels == number
    ax.scatter(others[rows], t[rows, iris], label=table.classes[number], marker=marker, alpha=0.7)
limits = [min(others.min(), t[:, iris].min()), max(others.max(), t[:, iris].max())]
ax.plot(limits, limits, ":", color="#7f7f7f")
ax.set(xlabel="earlier of rose and lily fires (τ)", ylabel="iris fires (τ)")
ax.legend(frameon=False)
plt.show()
