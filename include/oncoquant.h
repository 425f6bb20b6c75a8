/* SPDX-License-Identifier: Apache-2.0
 * OncoQuant: CT foundation models on ordinary CPUs, in low precision, with proof.
 * This is the only public header. It is in levels: 1 about, 2 packages, 3 models, 4 scans, 5 cohorts.
 * Every fallible function returns an oq_status and takes an optional `oq_error *err` last (NULL is allowed).
 * Every `_close` and `_free` accepts NULL. The library prints nothing, keeps no global state and opens no socket.
 * Research use only; not a medical device. */
#ifndef ONCOQUANT_H
#define ONCOQUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define OQ_API
#else
#define OQ_API __attribute__((visibility("default")))
#endif

#define OQ_VERSION_MAJOR 0
#define OQ_VERSION_MINOR 1
#define OQ_VERSION_PATCH 0

/* The status of a call is also the exit code of the command. */
typedef enum oq_status {
	OQ_OK = 0,
	OQ_E_USAGE = 2,       /* wrong arguments or options */
	OQ_E_SOME_ROWS = 3,   /* finished, but some rows of the cohort failed */
	OQ_E_INPUT = 4,       /* no usable input: scan, manifest, patches */
	OQ_E_MODEL = 5,       /* bad package, checkpoint or recipe */
	OQ_E_GATE = 6,        /* quality gate failed */
	OQ_E_RESOURCE = 7,    /* memory, disk, permission or another I/O failure */
	OQ_E_UNSUPPORTED = 8, /* this CPU, oneDNN or precision cannot do it */
	OQ_E_INTERNAL = 9     /* a bug in OncoQuant */
} oq_status;

/* One line that names the file (or node), what is there and what was expected; `code` is a stable reason code such as "E_TRUNCATED". */
typedef struct oq_error {
	oq_status status;
	char code[32];
	char message[1024];
} oq_error;

#ifdef __cplusplus
}
#endif
#endif
