"""The votes of the ranks, over real processes."""

import multiprocessing

import pytest
import torch
from torch import distributed

from rfdetr_train.training.agreement import Agreement, Votes

WORLD = 3


def in_each_rank(body, tmp_path):
    """Run a function in a gloo group of three forked processes; gives what each returned."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def rank(number):
        torch.set_num_threads(1)
        address = f"file://{tmp_path / 'group'}"
        distributed.init_process_group("gloo", init_method=address, rank=number, world_size=WORLD)
        results.put((number, body(number, Agreement())))
        distributed.barrier()

    processes = [context.Process(target=rank, args=(number,)) for number in range(WORLD)]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    return [found[number] for number in range(WORLD)]


def test_vote_of_one_rank_decides_for_all(tmp_path):
    def body(rank, agreement):
        mine = [Votes(), Votes(stop=rank == 2), Votes(commit=rank == 0, diverged=rank == 1), Votes(failed=rank == 1)]
        return [agreement.any(votes) for votes in mine]

    expected = [Votes(), Votes(stop=True), Votes(commit=True, diverged=True), Votes(failed=True)]
    assert in_each_rank(body, tmp_path) == [expected] * WORLD


def test_values_of_all_ranks_come_in_the_order_of_the_ranks(tmp_path):
    gathered = in_each_rank(lambda rank, agreement: agreement.gather({"rank": rank}), tmp_path)
    assert gathered == [[{"rank": 0}, {"rank": 1}, {"rank": 2}]] * WORLD


@pytest.mark.parametrize("votes", [Votes(), Votes(stop=True)])
def test_alone_there_is_nobody_to_ask(votes):
    assert Agreement().any(votes) == votes
    assert Agreement().gather("mine") == ["mine"]
