"""What is no stage: plan, bench, doctor, verify, predict, and pages made from results.

Packages inside are rooms of their own: effect, checkpoints, scoring. Imports: any room but cli.
"""
