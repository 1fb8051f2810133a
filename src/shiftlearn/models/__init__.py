"""A trained classifier: its network and coding by a recipe, prediction, storage, and figures of how well it does.

May import: data, recipes, coding, nn, ops, and what lies below them.
"""
