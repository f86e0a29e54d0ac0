"""The hedge: how much to trade (`hedge_adjustment`), one order at a time (`orders`), for as long as it runs.

`engine` is the door for commands. Importing this package imports none of it: readers of the pure rules, such
as the exporter, need neither an exchange nor a database for them.
"""
