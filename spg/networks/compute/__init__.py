"""Where and how a network is computed: device, precision, processes, the machine's facts.

Enters: environment variables and the hardware. Leaves: contexts and sums over processes; nothing
here is a parameter. Imports: project.
"""
