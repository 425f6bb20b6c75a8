/* Per query a pool of rows whose products are large enough; full, it is thinned out to what can still matter. */
#include "candidates.h"

#include "core/mem.h"
#include "products.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static_assert(OQ_CANDIDATE_BLOCK % OQ_TILE_ROWS == 0, "a block is whole tiles");

/* Candidates of one query: those whose product may be among the `wanted` largest. */
typedef struct pool {
	float *product;
	int64_t *row;
	int64_t count, room;
	float least; /* nothing below matters */
} pool;

static int descending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x < y) - (x > y);
}

/* Drops what is certainly not among the `wanted` nearest. scratch [count] */
static void thin_out(pool *p, int64_t wanted, double error, float *scratch)
{
	if (p->count <= wanted)
		return;
	memcpy(scratch, p->product, (size_t)p->count * sizeof *scratch);
	qsort(scratch, (size_t)p->count, sizeof *scratch, descending);
	int64_t kept = 0;
	p->least = (float)((double)scratch[wanted - 1] - 2 * error);
	for (int64_t i = 0; i < p->count; i++)
		if (p->product[i] >= p->least) {
			p->product[kept] = p->product[i];
			p->row[kept++] = p->row[i];
		}
	p->count = kept;
}

struct oq_candidates {
	pool pools[OQ_CANDIDATE_BLOCK];
	float *packed, *panel, *scratch; /* [blocks of queries][columns][tile rows], [columns][tile columns], [largest pool] */
	int64_t scratch_room;
};

/* A query that this many rows are alike to gets none: measuring every row is then little more work, and memory has a bound. */
#define MOST 16384

/* Twice the room for a pool, and for the scratch that thins it out. */
static bool make_room(oq_candidates *c, pool *p)
{
	int64_t room = 2 * p->room;
	float *products = oq_realloc(p->product, (size_t)room * sizeof *products);
	p->product = products ? products : p->product;
	int64_t *rows = products ? oq_realloc(p->row, (size_t)room * sizeof *rows) : NULL;
	p->row = rows ? rows : p->row;
	float *scratch = rows && room > c->scratch_room ? oq_realloc(c->scratch, (size_t)room * sizeof *scratch) : c->scratch;
	if (!products || !rows || !scratch)
		return false;
	c->scratch = scratch;
	c->scratch_room = room > c->scratch_room ? room : c->scratch_room;
	p->room = room;
	return true;
}

static bool offer(oq_candidates *c, const oq_candidate_search *s, pool *p, float product, int64_t row)
{
	if (p->count == p->room) {
		thin_out(p, s->wanted, oq_products_error(s->queries->columns), c->scratch);
		bool full = 2 * p->count > p->room;
		if (full && p->room >= MOST) {
			p->count = 0;
			p->least = INFINITY; /* no product is offered again */
		} else if (full && !make_room(c, p)) {
			return false;
		}
	}
	if (product >= p->least) {
		p->product[p->count] = product;
		p->row[p->count++] = row;
	}
	return true;
}

bool oq_candidates_find(oq_candidates *c, const oq_candidate_search *s, int64_t first, int64_t count)
{
	int64_t columns = s->queries->columns, size = columns * OQ_TILE_ROWS;
	float tile[OQ_TILE_ROWS * OQ_TILE_COLUMNS];
	for (int64_t q = 0; q < count; q++) {
		c->pools[q].count = 0;
		c->pools[q].least = -INFINITY;
	}
	for (int64_t q = 0; q < count; q += OQ_TILE_ROWS)
		oq_products_pack(s->queries, s->query_rows, first + q, count - q < OQ_TILE_ROWS ? count - q : OQ_TILE_ROWS, OQ_TILE_ROWS, s->query_norms,
			c->packed + q / OQ_TILE_ROWS * size);
	for (int64_t g = 0; g < s->gallery_count; g += OQ_TILE_COLUMNS) {
		int64_t here = s->gallery_count - g < OQ_TILE_COLUMNS ? s->gallery_count - g : OQ_TILE_COLUMNS;
		oq_products_pack(s->gallery, s->gallery_rows, g, here, OQ_TILE_COLUMNS, s->gallery_norms, c->panel);
		for (int64_t q = 0; q < count; q++) {
			if (q % OQ_TILE_ROWS == 0)
				oq_products_tile(s->isa, c->packed + q / OQ_TILE_ROWS * size, c->panel, columns, tile);
			const float *products = tile + q % OQ_TILE_ROWS * OQ_TILE_COLUMNS;
			for (int64_t j = 0; j < here; j++)
				if (products[j] >= c->pools[q].least && !offer(c, s, &c->pools[q], products[j], s->gallery_rows ? s->gallery_rows[g + j] : g + j))
					return false;
		}
	}
	return true;
}

/* What is in no pool has a product below least = (the wanted-th largest) - 2 error, so its cosine is below least + error. */
int64_t oq_candidates_of(oq_candidates *c, const oq_candidate_search *s, int64_t q, const int64_t **rows, double *below)
{
	double error = oq_products_error(s->queries->columns);
	pool *p = &c->pools[q];
	thin_out(p, s->wanted, error, c->scratch);
	*rows = p->row;
	*below = (double)p->least + error;
	return p->count;
}

void oq_candidates_close(oq_candidates *c)
{
	if (!c)
		return;
	for (int q = 0; q < OQ_CANDIDATE_BLOCK; q++) {
		oq_free(c->pools[q].product);
		oq_free(c->pools[q].row);
	}
	oq_free(c->packed);
	oq_free(c->panel);
	oq_free(c->scratch);
	oq_free(c);
}

oq_candidates *oq_candidates_open(const oq_candidate_search *s)
{
	oq_candidates *c = oq_calloc(1, sizeof *c);
	size_t columns = (size_t)s->queries->columns;
	if (c)
		c->scratch_room = 4 * s->wanted;
	bool good = c && (c->packed = oq_alloc(OQ_CANDIDATE_BLOCK * columns * sizeof *c->packed))
		&& (c->panel = oq_alloc(OQ_TILE_COLUMNS * columns * sizeof *c->panel))
		&& (c->scratch = oq_alloc((size_t)c->scratch_room * sizeof *c->scratch));
	for (int q = 0; q < OQ_CANDIDATE_BLOCK && good; q++) {
		pool *p = &c->pools[q];
		p->room = c->scratch_room;
		good = (p->product = oq_alloc((size_t)p->room * sizeof *p->product)) && (p->row = oq_alloc((size_t)p->room * sizeof *p->row));
	}
	if (good)
		return c;
	oq_candidates_close(c);
	return NULL;
}
