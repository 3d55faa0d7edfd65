"""Trainings for the benchmarks: started fast, recorded step by step, killed, compared."""
