#!/usr/bin/env python3
"""The logic of bench/peers.py, without any of the programs that it measures: which cells there are
and in which order, what the programs' outputs say, medians and ratios, budgets, tables.

Run alone or by pytest; needs nothing but Python. No clock is asserted.
"""
import argparse
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import types
import unittest
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import cells  # noqa: E402
import models  # noqa: E402
import peers  # noqa: E402
import programs  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
import sides  # noqa: E402

MOST = {"steal": 3.0, "others": 5.0}
QUIET = {"steal": 0.5, "others": 0.1}
NOISY = {"steal": 0.5, "others": 50.0}


def samples(*values, noise=QUIET, **more):
    return [{"value": v, **noise, **more} for v in values]


def side(median, **more):
    return {
        "best": median,
        "median": median,
        "spread": 0.02,
        "samples": [],
        "date": "2030-01-02",
        **QUIET,
        **more,
    }


RESULTS = {
    "date": "2030-01-02",
    "cpu": "a CPU <1>",
    "threads": 2,
    "peer": "llama_cpp_python-1.2.3",
    "openvino": {
        "version": "2026.4.1.0-3408-ab01d1771e4",
        "inference_precision_hint": "bf16",
        "kv_cache_precision": "u8",
    },
    "cells": {
        "decode/smol135.Q4_0": {
            "unit": "tokens/s",
            "lower_is_better": False,
            "ours": side(200, limit=300, share=0.7, bound="bandwidth"),
            "peers": {"llama.cpp": side(80), "OpenVINO": side(100)},
        },
        "prefill@avx2/smol135.Q4_0/1024": {
            "unit": "tokens/s",
            "lower_is_better": False,
            "ours": side(50, limit=500, share=0.1, bound="arithmetic", noisy=True),
            "peers": {"llama.cpp": side(100)},
        },
        "http/smol135.Q4_0/1": {
            "unit": "tokens/s",
            "lower_is_better": False,
            "ours": side(50),
            "peers": {"llama.cpp": side(100), "OpenVINO": {"cannot": "has no server of its own"}},
        },
        "start/builtin": {
            "unit": "s",
            "lower_is_better": True,
            "ours": side(0.05),
            "peers": {"llama.cpp": side(0.2), "OpenVINO": {"cannot": "cannot read it: a: b"}},
        },
        "memory/smol135.Q4_0/32": {"unit": "MB", "lower_is_better": True, "ours": side(24)},
    },
}


class Cells(unittest.TestCase):
    def test_names_are_unique_and_chosen_by_names_beginnings_and_patterns(self):
        names = [c.name for c in cells.cells()]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual([c.name for c in cells.chosen("")], names)
        one = cells.chosen("decode/smol135.Q4_0")
        self.assertEqual([c.name for c in one], ["decode/smol135.Q4_0"])
        self.assertEqual({c.kind for c in cells.chosen("decode start")}, {"decode", "start"})
        self.assertEqual({c.cpu for c in cells.chosen("prefill")}, {""})
        self.assertEqual({c.cpu for c in cells.chosen("prefill@avx2")}, {"avx2"})
        self.assertEqual({c.n for c in cells.chosen("http/smol135.Q4_0")}, {1, 8, 32, 64, 128})
        self.assertEqual({c.n for c in cells.chosen("http/*/8")}, {8})
        with self.assertRaises(ValueError):
            cells.chosen("decode/smol")

    def test_every_length_batch_and_context_is_there_for_each_size_and_type(self):
        names = {c.name for c in cells.cells()}
        for size in ("smol135", "qwen05", "tiny1b"):
            for kind in ("Q4_0", "Q8_0", "Q4_K_M"):
                for cpu in ("", "@avx2", "@avx512"):
                    for n in (16, 64, 256, 512, 1024, 2048):
                        self.assertIn(f"prefill{cpu}/{size}.{kind}/{n}", names)
                for n in (1, 2, 4, 8, 12, 16, 24, 32, 64):
                    self.assertIn(f"batch/{size}.{kind}/{n}", names)
                for n in (2048, 4096):
                    self.assertIn(f"context/{size}.{kind}/{n}", names)
                    self.assertIn(f"context-q8/{size}.{kind}/{n}", names)
        for streams in (1, 8):
            for prompt in (512, 1500):
                self.assertIn(f"gap/smol135.Q4_0/{streams}+{prompt}", names)

    def test_one_run_measures_what_belongs_together(self):
        wanted = cells.chosen(
            "prefill/smol135.Q4_0 http/smol135.Q4_0 ttft-p99/smol135.Q4_0 gap/smol135.Q4_0 "
            "gap-prompt/smol135.Q4_0"
        )
        groups = cells.groups(wanted)
        found = [{c.name.rsplit("/", 1)[1] for c in g.cells} for g in groups]
        self.assertEqual(sorted(c.name for g in groups for c in g.cells),
                         sorted(c.name for c in wanted))
        self.assertIn({"16", "64", "256", "512", "1024", "2048"}, found)
        self.assertIn({"8+512", "8+1500"}, found)
        self.assertIn({"128"}, found)
        http = next(g for g in groups if g.kind == "http")
        self.assertEqual({c.kind for c in http.cells}, {"http", "ttft-p99"})

    def test_what_matters_most_comes_first(self):
        groups = cells.groups(cells.cells())
        self.assertEqual([g.rank for g in groups], sorted(g.rank for g in groups))
        self.assertEqual((groups[0].kind, groups[0].model), ("prefill", "smol135.Q4_0"))
        self.assertEqual(len(groups), len(cells.groups(list(reversed(cells.cells())))))

    def test_each_kind_has_a_unit_a_title_and_a_way_to_measure_it(self):
        for cell in cells.cells():
            self.assertIn(cell.kind, report.UNITS)
            self.assertIn(cell.kind, report.TITLES)
        for group in cells.groups(cells.cells()):
            self.assertIn(group.kind, sides.MAKE)
            shape = group.model.split(".")[0]
            known = shape in models.SOURCES or shape in ("builtin", "stories260K")
            self.assertTrue(known, group.model)


class Outputs(unittest.TestCase):
    def test_llama_bench_is_read_by_lengths_and_the_best_counts(self):
        rows = [
            {"n_prompt": 16, "n_gen": 0, "samples_ts": [100.0, 120.0]},
            {"n_prompt": 0, "n_gen": 32, "n_depth": 2048, "samples_ts": [7.0]},
            {"n_prompt": 16, "n_gen": 0, "n_depth": 0, "samples_ts": [110.0]},
        ]
        found = programs.bench_rates(json.dumps(rows))
        self.assertEqual(found, {(16, 0, 0): 120.0, (0, 32, 2048): 7.0})

    def test_llama_batched_bench_is_read_by_batches(self):
        text = 'some text\n{"pl": 2, "speed_tg": 5.0}\n{"pl": 8, "speed_tg": 9.5}\n\nmore'
        self.assertEqual(programs.batched_rates(text), {2: 5.0, 8: 9.5})

    def test_memory_beyond_weights_and_what_is_kept(self):
        texts = {
            "/info": json.dumps({"kv": {"page_bytes": 100, "bytes": 10**9}}),
            "/metrics": 'smallmind_kv_pages{state="used"} 2\nsmallmind_kv_pages{state="cached"} 5\n'
            'smallmind_kv_pages{state="free"} 93\nsmallmind_kv_pages_total 100\n',
        }
        server = types.SimpleNamespace(get=lambda p: (200, texts[p]), resident=lambda: 5000)
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"x" * 1000)
            file.flush()
            self.assertEqual(programs.our_overhead(server, file.name), 5000 - 1000 - 700)

    def test_a_program_that_fails_is_a_failure_with_its_last_words(self):
        command = [sys.executable, "-c", "import sys; sys.exit('at the end')"]
        with self.assertRaisesRegex(programs.Failure, "exit 1: at the end"):
            programs.run(command)
        with self.assertRaises(programs.Failure):
            programs.run(["/none/such"])

    def test_a_driver_answers_or_says_why_it_cannot_read_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            driver = pathlib.Path(folder) / "driver.py"
            known, programs.DRIVER = programs.DRIVER, driver
            try:
                driver.write_text(
                    "import json, sys\n"
                    "print('a library speaks')\n"
                    "print(json.dumps({'ready': 1}), flush=True)\n"
                    "for line in sys.stdin:\n"
                    "    print(json.dumps({'rate': json.loads(line)['n'] * 2}), flush=True)\n"
                )
                engine = programs.OpenVino(sys.executable, "m.gguf", 2)
                self.assertEqual(engine.facts, {"ready": 1})
                self.assertEqual(engine.ask(do="prefill", n=8), {"rate": 16})
                self.assertIn(engine, programs.RUNNING)
                engine.stop()
                self.assertNotIn(engine, programs.RUNNING)
                driver.write_text("print('{\"error\": \"IndexError: no such type\"}')")
                with self.assertRaisesRegex(programs.CannotRead, "no such type"):
                    programs.OpenVino(sys.executable, "m.gguf", 2)
                driver.write_text("import sys; sys.exit('broken')")
                with self.assertRaisesRegex(programs.Failure, "broken"):
                    programs.OpenVino(sys.executable, "m.gguf", 2)
                self.assertEqual(programs.RUNNING, set())
            finally:
                programs.DRIVER = known
        with self.assertRaisesRegex(programs.Failure, "not installed"):
            programs.OpenVino(pathlib.Path("/none/python"), "m.gguf", 2)

    def test_a_models_context_is_read_from_its_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "m.gguf"
            path.write_bytes(b"GGUF..llama.context_length\x04\0\0\0\x00\x20\0\0rest")
            self.assertEqual(models.context_of(path), 8192)
            self.assertTrue(models.is_good(path, "smol135"))
            path.write_bytes(b"GGUF..llama.context_length\x04\0\0\0\x00\x08\0\0rest")
            self.assertFalse(models.is_good(path, "smol135"))
            self.assertTrue(models.is_good(path, "gemma270"))
            self.assertFalse(models.is_good(path.with_name("none"), "gemma270"))


class Figures(unittest.TestCase):
    def test_a_summary_has_the_median_the_spread_and_the_share_of_the_limit(self):
        taken = [
            {"value": 90.0, "limit": 100.0, "bound": "bandwidth", **QUIET},
            {"value": 60.0, "limit": 120.0, "bound": "bandwidth", **QUIET},
            {"value": 80.0, "limit": 100.0, "bound": "bandwidth", **QUIET},
        ]
        found = results.summary(taken, False, MOST)
        self.assertEqual((found["best"], found["median"], found["limit"]), (90.0, 80.0, 120.0))
        self.assertAlmostEqual(found["spread"], 15 / 80)
        self.assertAlmostEqual(found["share"], 0.8)  # of each sample's own limit
        self.assertEqual(found["bound"], "bandwidth")
        self.assertFalse(found["noisy"])
        self.assertEqual(results.summary(taken, True, MOST)["best"], 60.0)

    def test_noisy_samples_count_only_where_there_are_no_others(self):
        mixed = samples(10.0, noise=NOISY) + samples(20.0, 22.0)
        found = results.summary(mixed, False, MOST)
        self.assertEqual((found["median"], found["noisy"]), (21.0, False))
        found = results.summary(samples(10.0, noise=NOISY), False, MOST)
        self.assertEqual((found["median"], found["noisy"]), (10.0, True))

    def test_the_ratio_is_to_the_best_of_the_peers_and_of_their_variants(self):
        taken = {
            ("ours", ""): samples(120.0),
            ("llama.cpp", "1 threads"): samples(50.0),
            ("llama.cpp", "2 threads"): samples(60.0),
            ("OpenVINO", ""): samples(100.0),
        }
        refused = [("OpenVINO", "stateful", "cannot read it: x")]
        cell = results.cell_result("tokens/s", False, taken, MOST, refused)
        self.assertEqual(cell["peers"]["llama.cpp"]["variant"], "2 threads")
        self.assertEqual(results.best_peer(cell)[0], "OpenVINO")
        self.assertAlmostEqual(results.ratio(cell), 1.2)
        self.assertAlmostEqual(results.ratio(cell, "llama.cpp"), 2.0)
        less = results.cell_result("s", True, taken, MOST)
        self.assertEqual(less["peers"]["llama.cpp"]["variant"], "1 threads")
        self.assertEqual(results.best_peer(less)[0], "llama.cpp")
        self.assertAlmostEqual(results.ratio(less), 50 / 120)

    def test_without_both_sides_there_is_no_ratio(self):
        alone = results.cell_result("s", True, {("ours", ""): samples(1.0)}, MOST)
        self.assertIsNone(results.ratio(alone))
        refused = [("OpenVINO", "", "cannot read it: x")]
        cell = results.cell_result("s", True, {("ours", ""): samples(1.0)}, MOST, refused)
        self.assertEqual(cell["peers"], {"OpenVINO": {"cannot": "cannot read it: x"}})
        self.assertIsNone(results.ratio(cell))

    def test_results_of_several_runs_are_merged_side_by_side(self):
        first = RESULTS["cells"]["decode/smol135.Q4_0"]
        kept = results.merged({"cells": {"a": first}, "date": "x"}, {"a": {"ours": side(1)}})
        self.assertEqual(kept["cells"]["a"]["ours"]["median"], 1)
        self.assertEqual(kept["cells"]["a"]["peers"], first["peers"])
        kept = results.merged(kept, {"a": {"peers": {"OpenVINO": side(7)}}, "b": first})
        self.assertEqual(kept["cells"]["a"]["peers"]["OpenVINO"]["median"], 7)
        self.assertEqual(kept["cells"]["a"]["peers"]["llama.cpp"]["median"], 80)
        self.assertEqual(set(kept["cells"]), {"a", "b"})
        self.assertEqual(first["ours"]["median"], 200)  # what came in is as it was


def group_of(names):
    [group] = cells.groups([c for c in cells.cells() if c.name in names])
    return group


class Turns(unittest.TestCase):
    """A run whose sides are functions of this test."""

    def setUp(self):
        said = contextlib.redirect_stdout(io.StringIO())
        said.__enter__()
        self.addCleanup(said.__exit__, None, None, None)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)
        self.group = group_of({"decode/smol135.Q4_0"})
        self.order = []
        self.options = argparse.Namespace(
            rounds=3,
            again=0,
            patience=0,
            quick=True,
            most={"steal": 100.0, "others": 100.0},
            left=lambda: float("inf"),
            samples=self.path / "deep" / "samples.jsonl",
            results=self.path / "results.json",
            stamp={"threads": 2},
        )

    def side(self, name, values, variant=""):
        values = iter(values)

        def sample():
            self.order.append(name)
            value = next(values)
            if isinstance(value, BaseException):
                raise value
            return {self.group.cells[0].name: {"value": value}}

        return sides.Side(name, variant, sample)

    def run_of(self, *made, refusals=()):
        run = peers.Run(self.group, self.options)
        prepared = types.SimpleNamespace(sides=made, servers=[], refusals=list(refusals))
        return run, lambda: run.measure(prepared)

    def lines(self):
        return [json.loads(x) for x in self.options.samples.read_text().splitlines()]

    def test_sides_take_turns_and_every_sample_is_on_disk(self):
        run, measure = self.run_of(
            self.side("ours", [3.0, 4.0, 5.0]),
            self.side("llama.cpp", [1.0, 2.0, 3.0]),
            self.side("OpenVINO", [2.0, 2.0, 2.0]),
        )
        measure()
        self.assertEqual(self.order, ["ours", "llama.cpp", "OpenVINO"] * 3)
        self.assertEqual([x["value"] for x in self.lines()], [3, 1, 2, 4, 2, 2, 5, 3, 2])
        self.assertEqual({x["cell"] for x in self.lines()}, {"decode/smol135.Q4_0"})
        self.assertEqual(results.ratio(run.found()["decode/smol135.Q4_0"]), 2.0)

    def test_a_peer_that_fails_is_left_out_and_ours_is_not(self):
        run, measure = self.run_of(
            self.side("ours", [3.0, 4.0, 5.0]),
            self.side("llama.cpp", [programs.Failure("it broke")]),
        )
        measure()
        self.assertEqual(self.order, ["ours", "llama.cpp", "ours", "ours"])
        cell = run.found()["decode/smol135.Q4_0"]
        self.assertEqual(cell["peers"]["llama.cpp"], {"cannot": "it broke"})
        run, measure = self.run_of(self.side("ours", [3.0, programs.Failure("so did we")]))
        with self.assertRaises(programs.Failure):
            measure()

    def test_what_was_measured_before_the_end_of_the_budget_is_kept(self):
        run, measure = self.run_of(
            self.side("ours", [3.0, peers.OutOfTime()]), self.side("llama.cpp", [1.0])
        )
        with self.assertRaises(peers.OutOfTime):
            measure()
        cell = run.found()["decode/smol135.Q4_0"]
        self.assertEqual((cell["ours"]["median"], results.ratio(cell)), (3.0, 3.0))
        self.assertEqual(len(self.lines()), 2)

    def test_no_sample_begins_that_the_budget_has_no_room_for(self):
        self.options.left = lambda: -1.0
        run, measure = self.run_of(self.side("ours", [3.0]))
        with self.assertRaises(peers.NoRoom):
            measure()
        self.assertEqual((self.order, run.found()), ([], {}))

    def test_a_group_without_room_leaves_the_budget_to_those_that_follow(self):
        ended = {"decode": peers.NoRoom, "batch": None, "prefill": peers.OutOfTime}
        measured = []

        def measure(group, _):
            measured.append(group.kind)
            if ended.get(group.kind):
                raise ended[group.kind]

        kinds = ("decode", "batch", "prefill", "memory")
        groups = [
            cells.Group(k, "m", "", 1, [cells.Cell(f"{k}/m", k, "m", 0, "", 1)]) for k in kinds
        ]
        known, peers.measure = peers.measure, measure
        self.addCleanup(setattr, peers, "measure", known)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.assertTrue(peers.measure_all(groups, self.options))
        self.assertEqual(measured, ["decode", "batch", "prefill"])
        self.assertIn("decode/m prefill/m memory/m", said.getvalue())

    def test_only_and_refusals(self):
        only = argparse.Namespace
        self.assertTrue(sides.wants(only(only=None), "OpenVINO"))
        self.assertFalse(sides.wants(only(only="ours"), "OpenVINO"))
        self.assertTrue(sides.wants(only(only="peer"), "llama.cpp"))
        self.assertFalse(sides.wants(only(only="peer"), "ours"))
        self.assertFalse(sides.wants(only(only="OpenVINO"), "llama.cpp"))
        refused = [("OpenVINO", "", "cannot read it: x")]
        run, measure = self.run_of(self.side("ours", [1.0, 1.0, 1.0]), refusals=refused)
        measure()
        cell = run.found()["decode/smol135.Q4_0"]
        self.assertEqual(cell["peers"]["OpenVINO"], {"cannot": "cannot read it: x"})


class Tables(unittest.TestCase):
    def setUp(self):
        self.order = cells.cells()

    def test_the_table_has_all_sides_the_ratio_and_the_limit(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "SPEED.md"
            path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
            for _ in range(2):  # written again, it is the same
                report.render(RESULTS, self.order, path)
            text = path.read_text()
        self.assertTrue(text.startswith("before\n") and text.endswith("after\n"))
        self.assertNotIn("old", text)
        for row in (
            "| 135M Q4_0 | 200 +-2 % | 80.0 +-2 % | 100 +-2 % | 2.00 | 70 % of the bandwidth |",
            "| 135M Q4_0, 1 024 tokens | 50.0 +-2 %? | 100 +-2 % | - | 0.50 "
            "| 10 % of the arithmetic |",
            "| 135M Q4_0, 1 client | 50.0 +-2 % | 100 +-2 % | has no server of its own | 0.50 |  |",
            "| built-in | 0.0500 +-2 % | 0.20 +-2 % | cannot read it | 4.00 |  |",
            "| 135M Q4_0 | 24.0 +-2 % | - | - | - |  |",
        ):
            self.assertIn(row, text)
        self.assertIn("Reading a prompt, both with AVX2 alone", text)
        flat = " ".join(text.split())
        for words in ("2030-01-02, a CPU <1>, 2 threads", "llama-cpp-python 1.2.3",
                      "OpenVINO GenAI 2026.4.1.0 computes in bf16"):
            self.assertIn(words, flat)

    def test_the_picture_is_well_formed_and_has_a_bar_for_each_ratio(self):
        picture = report.svg(RESULTS, self.order)
        root = xml.etree.ElementTree.fromstring(picture)
        bars = [e for e in root.iter("{http://www.w3.org/2000/svg}rect") if e.get("class")]
        self.assertEqual([b.get("class") for b in bars], ["g", "g", "b"])
        widths = [float(b.get("width")) for b in bars]
        self.assertAlmostEqual(widths[0], widths[2], delta=0.2)  # twice and half
        self.assertAlmostEqual(widths[1], 2 * widths[0], delta=0.2)
        self.assertIsNone(report.svg({**RESULTS, "cells": {}}, self.order))

    def test_a_line_for_the_terminal_names_the_best_peer(self):
        text = report.line(RESULTS["cells"]["decode/smol135.Q4_0"])
        self.assertIn("2.00 x OpenVINO's", text)
        self.assertIn("70 % of the bandwidth", text)
        text = report.line(RESULTS["cells"]["start/builtin"])
        self.assertIn("OpenVINO cannot read it", text)


if __name__ == "__main__":
    unittest.main()
