"""The five checkpoint files of a run: their names, what a usable one holds, how one is found."""
