"""From a recipe to a trained model: one step, epochs, whole runs, ensembles, folds and repeats, over processes.

May import: analysis, runs, and what lies below them.
"""
