"""What every room stands on: errors, files, locks, processes, and the project's own settings.

Enters: the current folder and params.yaml. Leaves: a Workspace, Params, whole files, exit statuses.
Imports no other room, and never torch.
"""
