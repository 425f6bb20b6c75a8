#!/usr/bin/env python3
"""The evaluation against scikit-learn: the same synthetic embeddings, splits and tasks in one run, turn by turn.

usage: compare.py ONCOQUANT [--rows N] [--size D] [--turns N] [--skip-linear]
Needs bench/eval/requirements.txt. kNN: scikit-learn's brute-force cosine neighbours (50) of every validation and test row, once per split, and
the AUC of all 50 k. Linear: LogisticRegression with C = 2 and the reference's settings (lbfgs, tol 1e-4, 1000 iterations); OncoQuant goes on to the optimum.
"""
import argparse
import json
import os
import subprocess
import tempfile
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors


def make(rows, size, folder):
	rng = np.random.default_rng(1)
	y = rng.integers(0, 2, rows)
	latent = rng.standard_normal((rows, 32)).astype(np.float32)
	mix = rng.standard_normal((32, size)).astype(np.float32)
	x = (latent + 0.25 * y[:, None] * (np.arange(32) < 4)).astype(np.float32) @ mix
	x += 2 * rng.standard_normal((rows, size), dtype=np.float32) + 3
	np.save(os.path.join(folder, "x.npy"), x)
	with open(os.path.join(folder, "y.csv"), "w") as f:
		f.write("y\n" + "\n".join(map(str, y)) + "\n")
	return x, y


def sklearn_knn(x, y, splits):
	areas = []
	for s in splits:
		index = NearestNeighbors(n_neighbors=50, metric="cosine", algorithm="brute", n_jobs=-1).fit(x[s["train"]])
		votes = {}
		for part in ("val", "test"):
			order = index.kneighbors(x[s[part]], return_distance=False)
			votes[part] = np.cumsum(y[s["train"]][order], axis=1) / np.arange(1, 51)
		k = int(np.argmax([roc_auc_score(y[s["val"]], votes["val"][:, i]) for i in range(50)]))
		areas.append(roc_auc_score(y[s["test"]], votes["test"][:, k]))
	return float(np.mean(areas))


def sklearn_linear(x, y, splits):
	areas = []
	for s in splits:
		model = LogisticRegression(C=2, max_iter=1000, random_state=42).fit(x[s["train"]], y[s["train"]])
		areas.append(roc_auc_score(y[s["test"]], model.predict_proba(x[s["test"]])[:, 1]))
	return float(np.mean(areas))


def ours(oncoquant, probe, folder):
	text = subprocess.run([oncoquant, "evaluate", probe, os.path.join(folder, "x.npy"), "--labels", os.path.join(folder, "y.csv"), "--protocol", "paper",
		"--json"], check=True, capture_output=True, text=True).stdout
	return json.loads(text)["models"][0]["auc"]["mean"]


def main():
	parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	parser.add_argument("oncoquant")
	parser.add_argument("--rows", type=int, default=20000)
	parser.add_argument("--size", type=int, default=2048)
	parser.add_argument("--turns", type=int, default=1)
	parser.add_argument("--skip-linear", action="store_true")
	args = parser.parse_args()
	with tempfile.TemporaryDirectory() as folder:
		x, y = make(args.rows, args.size, folder)
		subprocess.run([args.oncoquant, "evaluate", "few-shot", os.path.join(folder, "x.npy"), "--labels", os.path.join(folder, "y.csv"), "--protocol", "paper",
			"--shots", "1", "--write-splits", os.path.join(folder, "splits.json"), "-q"], check=True)
		with open(os.path.join(folder, "splits.json")) as f:
			splits = json.load(f)["splits"]
		tasks = [("knn", sklearn_knn)] + ([] if args.skip_linear else [("linear", sklearn_linear)])
		for probe, theirs in tasks:
			for turn in range(args.turns):
				for name, run in (("oncoquant", lambda p=probe: ours(args.oncoquant, p, folder)), ("scikit-learn", lambda t=theirs: t(x, y, splits))):
					before, began = os.times(), time.perf_counter()
					auc = run()
					wall, after = time.perf_counter() - began, os.times()
					cpu = sum(after[:4]) - sum(before[:4])
					print(f"{probe:8} {name:14} turn {turn + 1}: {wall:9.1f} s, {cpu:9.1f} s of processor time, AUC {auc:.6f}", flush=True)


if __name__ == "__main__":
	main()
