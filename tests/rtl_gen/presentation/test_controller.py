"""The controller orders what a presentation needs, in its order, however long the other blocks take."""

import random

import pytest

from rtl_gen.presentation.controller import PresentationController
from tests.rtl_gen.presentation.slots import drive
from tests.support.node_designs import SHAPES, node_design

SPECS = {name: SHAPES[name] for name in ("plain", "one-layer", "two-sided", "signs-twice", "one-step", "updates-within-a-sample")}
SPECS["periods-that-cross"] = SHAPES["periods-that-cross"]
SPECS["two-sided-and-long"] = node_design(two_sided=True, periods=(3, 6, 6))


QUIET = 100
"""Cycles without anything after which a run has ended."""


class Blocks:
    """Stand-ins for the other blocks of a core, each of which answers after a random time.

    Parameters
    ----------
    spec : DesignSpec
        Design of the controller.
    seed : int
        Seed of the times.
    """

    def __init__(self, spec, seed):
        self.spec, self.rng = spec, random.Random(f"{spec.name} {seed}")
        self.controller = PresentationController(spec, replay_wait=self.rng.choice((0, 2, 5)))
        self.log, self.due = [], {}
        self.in_flight = self.most = 0
        self.pending = None
        self.commands = {}

    def after(self, cycle, name, least=1, most=12):
        """Let a block answer some cycles later."""
        at = cycle + self.rng.randint(least, most)
        while (at, name) in self.due:
            at += 1
        self.due[at, name] = True
        return at

    def each(self, ctx, cycle):
        """A cycle."""
        c = self.controller
        for name in ("perturbation", "sample", "update"):
            ctx.set(getattr(c, f"{name}_period"), getattr(self.spec.schedule, f"{name}_period"))
        for name in ("train", "infer", "stop", "restart", "count_en", "loaded"):
            ctx.set(getattr(c, name), (cycle, name) in self.commands)
        if (cycle, "count_en") in self.commands:
            ctx.set(c.count, self.commands[cycle, "count_en"])
        for name in ("kept", "replay_done", "cost_stb", "settled_stb", "change_stb", "errors_ready", "learned_stb"):
            ctx.set(getattr(c, name), (cycle, name) in self.due)
        ctx.set(c.available, cycle >= self.ready_at)
        ctx.set(c.signs_ready, cycle >= self.signs_at)
        ctx.set(c.errors_busy, any(cycle <= at <= cycle + 3 for at, name in self.due if name == "change_stb"))
        begins = ctx.get(c.request) and cycle >= self.free_at
        ctx.set(c.started, begins)
        self._note(ctx, cycle, begins)

    ready_at = signs_at = free_at = settles_at = 0

    def _note(self, ctx, cycle, begins):
        c, two_sided = self.controller, self.spec.two_sided
        flags = {
            name: bool(ctx.get(getattr(c, name))) for name in ("probe", "apply", "minus", "update", "check_answer", "shown", "training")
        }
        bank = ctx.get(c.bank)
        if ctx.get(c.take):
            assert cycle > self.ready_at
            self.log.append(("take",))
            self.ready_at = cycle + self.rng.choice((1, 30))
        if begins:
            self.free_at = cycle + self.rng.randint(4, 25)
            if flags["apply"]:
                assert self.in_flight == 0 and bank == 2
                self.log.append(("apply", flags["update"]))
                self.after(self.free_at, "learned_stb")
            elif flags["probe"]:
                self.log.append(("join", bank, flags["minus"]))
            else:
                assert bank == 2
                self.log.append(("measure", flags["check_answer"], flags["shown"], flags["training"]))
                if flags["training"]:
                    self.in_flight += 1
                    self._settle(self.after(cycle, "kept"), change=False)
                else:
                    self.after(cycle, "cost_stb")
        if ctx.get(c.replay):
            self.in_flight += 1
            self.log.append(("replay", bank, flags["minus"], bool(ctx.get(c.advance)), bool(ctx.get(c.advance) and ctx.get(c.fresh))))
            if ctx.get(c.advance):
                self.signs_at = cycle + self.rng.choice((1, 15))
            self._settle(self.after(cycle, "replay_done", 3), change=flags["minus"] or not two_sided)
        self.most = max(self.most, self.in_flight)
        if self.due.pop((cycle, "settled_stb"), False):
            self.in_flight -= 1
        if self.due.pop((cycle, "change_stb"), False):
            final = bool(ctx.get(c.final))
            self.log.append(("change", bool(ctx.get(c.first)), final))
            if final:
                self.after(cycle, "errors_ready", 4)

    def _settle(self, begun, *, change):
        """A pass settles after it has begun and after the one before it has settled."""
        at = max(begun, self.settles_at) + self.rng.randint(3, 40)
        self.settles_at = at
        self.due[at, "settled_stb"] = True
        if change:
            self.due[at, "change_stb"] = True

    def run(self, cycles, commands):
        """Let cycles pass, until nothing has happened for a while after the last command, or too many have.

        ``commands`` are values by cycle and name. Return the log, in which cost changes are apart.
        """
        self.commands = commands
        busy, last = [], max(cycle for cycle, _ in commands)

        def each(ctx, cycle):
            self.each(ctx, cycle)
            busy.append(ctx.get(self.controller.busy))
            return cycle > last + QUIET and not any(busy[-QUIET:]) and max(at for at, _ in self.due) < cycle

        drive(self.controller, cycles, each)
        assert not busy[-1], "the controller hangs"
        assert self.in_flight == 0 and self.most <= 2
        return [row for row in self.log if row[0] != "change"], [row for row in self.log if row[0] == "change"]


def expected(spec, steps, *, starts=(0,), new=()):
    """What a run of so many steps orders, and its cost changes; a run begins at each of ``starts``, a new sample is due at ``new``."""
    schedule, orders, changes, bank, done = spec.schedule, [], [], 0, 0
    deep = len(spec.network.layers) > 1
    for n in range(steps):
        sample = n % schedule.sample_period == 0 or n in new
        begins = sample or schedule.begins(n)
        if begins or n in starts:
            orders += [("take",)] * sample + [("measure", sample, begins, True)]
            bank = 0
        for minus in (False, True) if spec.two_sided else (False,):
            last = minus or not spec.two_sided
            done = n + 1
            orders.append(("replay", bank, minus, last, last and done % schedule.perturbation_period == 0))
            orders += [("join", bank, minus)] * deep
            bank ^= 1
        ends = schedule.begins(n + 1)
        changes.append(("change", begins, ends))
        orders += [("apply", (n + 1) % schedule.update_period == 0)] * ends
    return orders, changes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SPECS)
def test_a_run_orders_its_passes(name, seed):
    spec, steps = SPECS[name], 13
    blocks = Blocks(spec, seed)
    found = blocks.run(6_000, {(3, "count_en"): steps, (10, "train"): 1})
    orders, changes = expected(spec, steps)
    assert found[0] == orders
    assert found[1] == changes
    assert blocks.most == 2 or name == "one-layer"


@pytest.mark.parametrize("name", ["plain", "two-sided", "periods-that-cross"])
def test_runs_in_pieces_measure_an_open_presentation_again_and_do_not_show_it(name):
    spec, pieces = SPECS[name], (1, 2, 1, 3, 2)
    commands, starts = {}, [sum(pieces[:number]) for number in range(len(pieces))]
    for number, count in enumerate(pieces):
        commands |= {(1_500 * number + 3, "count_en"): count, (1_500 * number + 9, "train"): 1}
    found = Blocks(spec, 1).run(1_500 * len(pieces), commands)
    assert found == expected(spec, sum(pieces), starts=starts)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["plain", "two-sided", "one-layer"])
def test_a_stop_ends_a_run_after_a_whole_step(name, seed):
    spec, commands = SPECS[name], {(3, "count_en"): 500, (9, "train"): 1, (40 + 61 * seed, "stop"): 1}
    orders, changes = Blocks(spec, seed).run(1_500, commands)
    assert (orders, changes) == expected(spec, len(changes))
    assert 0 < len(changes) < 40


@pytest.mark.parametrize("command", ["loaded", "restart"])
def test_a_load_or_a_restart_begins_with_a_new_sample(command):
    spec = SPECS["plain"]
    commands = {(3, "count_en"): 2, (9, "train"): 1, (1_000, command): 1, (1_010, "count_en"): 3, (1_020, "train"): 1}
    orders, changes = Blocks(spec, 2).run(2_500, commands)
    if command == "loaded":
        assert orders == expected(spec, 5, new=(2,), starts=(0, 2))[0]
        assert changes == expected(spec, 5, new=(2,))[1]
        assert orders.count(("take",)) == 3  # at the steps 0, 2 and 4
    else:
        first, second = expected(spec, 2), expected(spec, 3)
        assert (orders, changes) == (first[0] + second[0], first[1] + second[1])


def test_an_inference_takes_a_sample_for_each_pass_and_the_next_step_another():
    spec = SPECS["plain"]
    commands = {(3, "count_en"): 3, (9, "infer"): 1, (1_000, "count_en"): 2, (1_010, "train"): 1}
    orders, changes = Blocks(spec, 3).run(2_200, commands)
    measured = [("take",), ("measure", True, True, False)] * 3
    assert [(*row[:2], True, *row[3:]) if row[0] == "measure" else row for row in orders[:6]] == measured
    assert (orders[6:], changes) == expected(spec, 2)
