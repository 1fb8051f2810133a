"""Run folders: who owns one, the training state and the results in it, and a listing of many.

A run folder holds settings (JSON), weights and training state (safetensors), all written atomically.
May import: models, and what lies below it.

========================== =======================================================================================
``config.json``            the resolved recipe, the seed, names of the classes and the scaling of a table's columns;
                           written before the first epoch
``metrics.jsonl``          one line an epoch
``checkpoint.safetensors`` weights and optimizer after the last whole epoch; while the run lasts, the checkpoint
                           before it is kept too, as ``checkpoint-previous.safetensors``
``weights.safetensors``    the trained weights
``test_predictions.csv``   label, prediction, scores and spike times (z) of every test sample
``confusion_matrix.csv``   rows: true class, columns: predicted class
``classes.csv``            precision, recall, F1 and AUC of every class
``roc.csv``                the ROC curve of every class against the rest
``repeats.csv``            of repeated runs: when each was solved, and whether it was frozen
``metrics.json``           the summary; it is written last and marks the run as finished
``.lock``, ``.owner``      while a process trains here: its lock, and its number; see :mod:`shiftlearn.runs.folder`
========================== =======================================================================================
"""
