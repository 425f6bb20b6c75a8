#!/usr/bin/env python3
"""The evaluation against scikit-learn and NumPy: the same synthetic embeddings, splits and tasks in one run, turn by turn.

usage: compare.py ONCOQUANT [--rows N] [--size D] [--tasks knn,linear,similarity] [--turns N] [--their-splits N]
Needs bench/eval/requirements.txt. kNN: scikit-learn's brute-force cosine neighbours (50) of every validation and test row, once per split, and
the AUC of all 50 k. Linear: LogisticRegression with C = 2 and the reference's settings (lbfgs, tol 1e-4, 1000 iterations); OncoQuant goes on to the optimum.
Similarity: linear CKA (NumPy, double) and shared neighbours of 10 (scikit-learn) of two sets; OncoQuant also does RSA, debiased CKA and Procrustes.
--their-splits: scikit-learn does only the first of the ten splits, each of which costs it the same; its time is then also told for all ten, and the
result of both sides is the mean AUC of those splits. Peak memory is that of a process of its own, inputs included.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

SPLITS = 10


def make(rows, size, folder):
	rng = np.random.default_rng(1)
	y = rng.integers(0, 2, rows)
	latent = rng.standard_normal((rows, 32)).astype(np.float32)
	mix = rng.standard_normal((32, size)).astype(np.float32)
	x = (latent + 0.25 * y[:, None] * (np.arange(32) < 4)).astype(np.float32) @ mix
	x += 2 * rng.standard_normal((rows, size), dtype=np.float32) + 3
	np.save(os.path.join(folder, "x.npy"), x)
	x += rng.standard_normal((rows, size), dtype=np.float32)
	np.save(os.path.join(folder, "x2.npy"), x)
	with open(os.path.join(folder, "y.csv"), "w") as f:
		f.write("y\n" + "\n".join(map(str, y)) + "\n")


def load(folder, count):
	with open(os.path.join(folder, "splits.json")) as f:
		splits = json.load(f)["splits"][:count]
	return np.load(os.path.join(folder, "x.npy")), np.loadtxt(os.path.join(folder, "y.csv"), dtype=int, skiprows=1), splits


def their_knn(folder, count):
	from sklearn.metrics import roc_auc_score
	from sklearn.neighbors import NearestNeighbors
	areas = []
	x, y, splits = load(folder, count)
	for s in splits:
		index = NearestNeighbors(n_neighbors=50, metric="cosine", algorithm="brute", n_jobs=-1).fit(x[s["train"]])
		votes = {}
		for part in ("val", "test"):
			order = index.kneighbors(x[s[part]], return_distance=False)
			votes[part] = np.cumsum(y[s["train"]][order], axis=1) / np.arange(1, 51)
		k = int(np.argmax([roc_auc_score(y[s["val"]], votes["val"][:, i]) for i in range(50)]))
		areas.append(roc_auc_score(y[s["test"]], votes["test"][:, k]))
	return float(np.mean(areas))


def their_linear(folder, count):
	from sklearn.linear_model import LogisticRegression
	from sklearn.metrics import roc_auc_score
	areas = []
	x, y, splits = load(folder, count)
	for s in splits:
		model = LogisticRegression(C=2, max_iter=1000, random_state=42).fit(x[s["train"]], y[s["train"]])
		areas.append(roc_auc_score(y[s["test"]], model.predict_proba(x[s["test"]])[:, 1]))
	return float(np.mean(areas))


def their_similarity(folder, _):
	from sklearn.neighbors import NearestNeighbors
	sets = [np.load(os.path.join(folder, name)) for name in ("x.npy", "x2.npy")]
	near = []
	for x in sets:
		order = NearestNeighbors(n_neighbors=11, metric="cosine", algorithm="brute", n_jobs=-1).fit(x).kneighbors(return_distance=False, n_neighbors=10)
		near.append(np.sort(order, axis=1))
	shared = np.mean([len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(*near)]) / 10
	a, b = [(x - x.mean(0, dtype=np.float64)) for x in sets]
	cka = np.linalg.norm(a.T @ b) ** 2 / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
	return [float(shared), float(cka)]


def run(command):
	"""Output, seconds, seconds of processor time and peak memory in GiB of a process of its own."""
	with tempfile.TemporaryFile() as out:
		began = time.perf_counter()
		child = subprocess.Popen(command, stdout=out)
		_, status, used = os.wait4(child.pid, 0)
		wall = time.perf_counter() - began
		if status:
			raise SystemExit(f"{command[:3]} ended with status {status}")
		out.seek(0)
		return json.loads(out.read()), wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def ours(oncoquant, task, folder, count):
	file = lambda name: os.path.join(folder, name)
	if task == "similarity":
		result, *cost = run([oncoquant, "similarity", file("x.npy"), file("x2.npy"), "--json"])
		return [result[key][0][1] for key in ("mutual_knn10", "linear_cka")], cost
	result, *cost = run([oncoquant, "evaluate", task, file("x.npy"), "--labels", file("y.csv"), "--protocol", "paper", "--json"])
	return [float(np.mean([s["auc_test"] for s in result["models"][0]["splits"][:count]]))], cost


def theirs(task, folder, count):
	result, *cost = run([sys.executable, os.path.abspath(__file__), "--theirs", task, folder, str(count)])
	return result if isinstance(result, list) else [result], cost


def tell(task, name, turn, answer, done):
	result, (wall, cpu, peak) = answer
	share = "" if done == SPLITS or task == "similarity" else f" ({done} of {SPLITS} splits; all: {wall * SPLITS / done:.0f} s)"
	figures = ", ".join(f"{v:.6f}" for v in result)
	print(f"{task:10} {name:12} turn {turn}: {wall:8.1f} s{share}, {cpu:8.1f} s of processor time, peak {peak:.2f} GiB, result {figures}", flush=True)


def main():
	if sys.argv[1:2] == ["--theirs"]:
		task, folder, count = sys.argv[2:]
		solve = {"knn": their_knn, "linear": their_linear, "similarity": their_similarity}[task]
		print(json.dumps(solve(folder, int(count))))
		return
	parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	parser.add_argument("oncoquant")
	parser.add_argument("--rows", type=int, default=20000)
	parser.add_argument("--size", type=int, default=2048)
	parser.add_argument("--turns", type=int, default=1)
	parser.add_argument("--tasks", default="knn,linear,similarity")
	parser.add_argument("--their-splits", type=int, default=SPLITS)
	parser.add_argument("--only", choices=("oncoquant", "scikit-learn"))
	args = parser.parse_args()
	with tempfile.TemporaryDirectory() as folder:
		make(args.rows, args.size, folder)
		subprocess.run([args.oncoquant, "evaluate", "few-shot", os.path.join(folder, "x.npy"), "--labels", os.path.join(folder, "y.csv"), "--protocol", "paper",
			"--shots", "1", "--write-splits", os.path.join(folder, "splits.json"), "-q"], check=True)
		print(f"{args.rows} x {args.size}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}", flush=True)
		for task in args.tasks.split(","):
			for turn in range(1, args.turns + 1):
				if args.only != "scikit-learn":
					tell(task, "oncoquant", turn, ours(args.oncoquant, task, folder, args.their_splits), SPLITS)
				if args.only != "oncoquant":
					tell(task, "scikit-learn", turn, theirs(task, folder, args.their_splits), args.their_splits)


if __name__ == "__main__":
	main()
