"""Stage evaluate, and the way to it: from raw maps to boxes to errors, without torch.

metrics are pure functions; sweep is the stage that measures each map at every threshold; the files
here choose thresholds and count errors. Enters: maps/. Leaves: sweep/, then eval/.
"""
