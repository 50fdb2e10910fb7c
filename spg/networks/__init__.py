"""Networks: how they are computed, what they are made of, and where their weights come from.

compute is the machine's side, parts what is shared; backbones, methods and classifiers are shelves
of files found by name; weights and classify are stages.
"""
