"""Live evaluation: joins predictions, outcomes and the log of draws, and computes figures by version, week or slice.

Order: copied → log → population → groups → figures → printed, pictures → command. `cli.dataset` uses the first three.
"""
