/* The seed's place in its patch: with `centred` always index size/2 (one less on axes towards L, P and I), and the rest of the patch is what it is away
 * from the border; the reference moves it where the scan ends (row M10 of the project's list of bad inputs). */
#include "check.h"

#include "io/patch.h"

#define N 40

static float voxels[N * N * N];

/* LPS axes of 1 mm, origin 0: voxel (i,j,k) is at (i,j,k) LPS mm. */
static const oq_volume volume = {.dims = {N, N, N}, .dtype = OQ_F32, .voxels = voxels, .slope = 1, .spacing_mm = {1, 1, 1},
	.affine = {{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, 1, 0}}};

static float value_at(int64_t i, int64_t j, int64_t k)
{
	return (float)(i * 10 + j * 7 + k * 3 + 50);
}

static void fill(void)
{
	for (int v = 0; v < N * N * N; v++)
		voxels[v] = value_at(v % N, v / N % N, v / (N * N));
}

/* Every voxel of the patch by its place: index - size/2 away from the seed, along the letter of its axis. */
static int wrong_voxels(const oq_patch_spec *spec, const int64_t seed[3], const float *patch)
{
	int wrong = 0;
	for (int64_t v = 0; v < spec->size[0] * spec->size[1] * spec->size[2]; v++) {
		const int64_t at[3] = {v / (spec->size[1] * spec->size[2]), v / spec->size[2] % spec->size[1], v % spec->size[2]};
		int64_t voxel[3];
		bool cut = false, inside = true;
		for (int axis = 0; axis < 3; axis++) {
			const char letter = spec->axes[axis];
			int file = strchr("RL", letter) ? 0 : strchr("AP", letter) ? 1 : 2;
			/* The grid is R,A,S, so half of an even size is cut on its low side; flipped axes see that from behind. */
			bool towards = strchr("LPS", letter) != NULL, flipped = strchr("LPI", letter) != NULL;
			int64_t step = at[axis] - spec->size[axis] / 2 + (flipped ? 1 : 0);
			cut |= at[axis] >= spec->size[axis] / 2 * 2; /* the last plane of an odd size is padding, as in the reference */
			voxel[file] = seed[file] + (towards ? step : -step);
			inside &= voxel[file] >= 0 && voxel[file] < N;
		}
		float expected = cut || !inside ? 0 : value_at(voxel[0], voxel[1], voxel[2]) / 1000;
		wrong += !(fabsf(patch[v] - expected) <= 1e-6f); /* one rounding of values below 1 */
	}
	return wrong;
}

static void check(const char *axes, int64_t size, const int64_t seed[3])
{
	oq_patch_spec spec = {.size = {size, size + 2, size - 2}, .spacing_mm = {1, 1, 1}, .hu_max = 1000, .out_max = 1, .resample = OQ_RESAMPLE_EXACT,
		.centred = true};
	float patch[16 * 18 * 14];
	oq_error err = {0};
	oq_patch_info info;
	memcpy(spec.axes, axes, 4);
	const double lps[3] = {(double)seed[0], (double)seed[1], (double)seed[2]};
	OQ_REQUIRE(oq_patch_extract(&volume, &spec, lps, patch, &info, &err) == OQ_OK);
	OQ_CHECK_INT(wrong_voxels(&spec, seed, patch), 0);
	spec.centred = false;
	OQ_REQUIRE(oq_patch_extract(&volume, &spec, lps, patch, &info, &err) == OQ_OK);
	bool border = false;
	for (int i = 0; i < 3; i++)
		border |= seed[i] < 10 || seed[i] > N - 10;
	OQ_CHECK((wrong_voxels(&spec, seed, patch) != 0) == border);
}

/* The seed's grid index loses its fraction towards zero on both sides of 0, and just outside the grid is its first voxel (row M11). */
static void check_truncation(void)
{
	static const struct {
		double index; /* along R: the grid begins at R = 1 - N */
		int64_t centre;
	} cases[] = {{-0.9, 0}, {-0.4, 0}, {0.4, 0}, {0.9, 0}, {1.1, 1}, {1.5, 1}, {1.9, 1}, {20.5, 20}, {38.9, 38}};
	const oq_patch_spec spec = {.axes = "RAS", .size = {12, 12, 12}, .spacing_mm = {1, 1, 1}, .hu_max = 1000, .out_max = 1};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		float patch[12 * 12 * 12];
		oq_patch_info info;
		const double lps[3] = {N - 1 - cases[i].index, 20, 20};
		OQ_REQUIRE(oq_patch_extract(&volume, &spec, lps, patch, &info, NULL) == OQ_OK);
		OQ_CHECK_INT(info.center[0], cases[i].centre);
	}
}

int main(void)
{
	static const int64_t seeds[][3] = {{20, 20, 20}, {1, 20, 20}, {38, 20, 20}, {20, 0, 20}, {20, 39, 20}, {20, 20, 2}, {20, 20, 37}, {1, 38, 2}, {39, 0, 39}};
	static const char *const axes[] = {"RAS", "LPS", "SPL", "IRA", "AIL"};
	fill();
	check_truncation();
	for (size_t a = 0; a < sizeof axes / sizeof *axes; a++)
		for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++)
			for (int64_t size = 12; size <= 16; size++)
				check(axes[a], size, seeds[s]);
	return oq_checks_done();
}
