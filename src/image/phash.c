/* A perceptual hash: 64 bits that stay nearly the same when a photograph is resized or compressed again. All of it is
 * integers, so that it is the same on every machine; docs/formats.md defines it. */
#include <stdlib.h>
#include <string.h>

#include "image/jpeg_session.h"

enum {
    GRID = 32,           /* cells a side */
    FREQUENCIES = 11,    /* of the DCT, a side: 0 .. 10 */
    REDUCED_FROM = 512,  /* from this short side on, one value for each block of 8 x 8 pixels is enough */
    BLOCK = 8,
    FRACTION = 16,       /* a grey level is 16 in a cell */
    LEAST_CONTRAST = 4   /* grey levels between the darkest and the lightest cell */
};

typedef struct hasher {
    mm_jpeg_session session;
    uint32_t step;  /* pixels a side that one value of `rows` stands for: 1 or BLOCK */
    uint8_t *row;   /* one row as libjpeg gives it, later grey */
    uint64_t *cells; /* [GRID][GRID] sums, each weighed with 1/32 of pixels */
    uint64_t hash;
} hasher;

/* How much of source column (or row) `at` lies in cell `cell`, in units of 1 / GRID pixel. */
static uint64_t overlap(uint32_t at, uint32_t step, uint32_t side, uint32_t cell)
{
    const uint64_t first = (uint64_t)at * step, end = first + step < side ? first + step : side;
    const uint64_t from = first * GRID, to = end * GRID, low = (uint64_t)cell * side, high = low + side;
    const uint64_t start = from > low ? from : low, stop = to < high ? to : high;
    return stop > start ? stop - start : 0;
}

/* The columns (or rows) of the source that have a part in a cell. */
static void reach(uint32_t cell, uint32_t step, uint32_t side, uint32_t *first, uint32_t *last)
{
    *first = (uint32_t)((uint64_t)cell * side / GRID / step);
    *last = (uint32_t)((((uint64_t)cell + 1) * side - 1) / GRID / step);
}

static void add_row(hasher *h, uint32_t y)
{
    const uint32_t width = h->session.frame.width, height = h->session.frame.height;
    uint64_t sums[GRID] = {0};
    for (uint32_t cell = 0; cell < GRID; cell++) {
        uint32_t first, last;
        reach(cell, h->step, width, &first, &last);
        for (uint32_t x = first; x <= last; x++)
            sums[cell] += h->row[x] * overlap(x, h->step, width, cell);
    }
    for (uint32_t cell = 0; cell < GRID; cell++) {
        const uint64_t share = overlap(y, h->step, height, cell);
        for (uint32_t x = 0; share > 0 && x < GRID; x++)
            h->cells[cell * GRID + x] += share * sums[x];
    }
}

/* ITU-R BT.601, in 1/256. */
static void to_grey(hasher *h)
{
    const uint32_t width = h->session.codec.output_width;
    if (h->session.codec.output_components == 1)
        return;
    mm_jpeg_cmyk_to_rgb(h->row, width);
    for (uint32_t x = 0; x < width; x++) {
        const uint8_t *rgb = h->row + 3 * (size_t)x;
        h->row[x] = (uint8_t)((77u * rgb[0] + 150u * rgb[1] + 29u * rgb[2]) >> 8);
    }
}

static void read_cells(hasher *h)
{
    mm_jpeg_session *session = &h->session;
    mm_jpeg_read_header(session);
    const uint32_t width = session->frame.width, height = session->frame.height;
    session->codec.out_color_space = session->frame.components == 4 ? JCS_CMYK : JCS_GRAYSCALE;
    h->step = width >= REDUCED_FROM && height >= REDUCED_FROM ? BLOCK : 1;
    session->codec.scale_num = 1;
    session->codec.scale_denom = h->step;
    mm_jpeg_start(session);
    if (session->codec.output_width != (width + h->step - 1) / h->step ||
        session->codec.output_height != (height + h->step - 1) / h->step)
        mm_jpeg_give_up(session, mm_fail(session->err, MM_ERR_INTERNAL, "libjpeg reduces to a size of its own"));
    const size_t row_bytes = (size_t)session->codec.output_width * (size_t)session->codec.output_components;
    h->row = malloc(row_bytes);
    h->cells = calloc(GRID * GRID, sizeof *h->cells);
    if (!h->row || !h->cells)
        mm_jpeg_give_up(session, mm_fail_memory(session->err, "a perceptual hash"));
    for (uint32_t y = 0; y < session->codec.output_height; y++) {
        mm_jpeg_read_rows(session, h->row, row_bytes, 1);
        to_grey(h);
        add_row(h, y);
    }
    (void)jpeg_finish_decompress(&session->codec);
}

/* Cells in grey levels times FRACTION, turned as the orientation says: cell (x, y) of the stored image goes to ... */
static void turn(const hasher *h, int32_t turned[GRID][GRID])
{
    static const struct {
        bool mirror_x, mirror_y;
    } turns[9] = {[2] = {true, false}, [3] = {true, true}, [4] = {false, true},
                  [6] = {true, false}, [7] = {true, true}, [8] = {false, true}};
    const uint8_t orientation = h->session.frame.orientation;
    const uint64_t area = (uint64_t)h->session.frame.width * h->session.frame.height;
    for (uint32_t y = 0; y < GRID; y++)
        for (uint32_t x = 0; x < GRID; x++) {
            uint32_t to_x = x, to_y = y;
            if (mm_orientation_swaps_sides(orientation)) {
                to_x = y;
                to_y = x;
            }
            to_x = turns[orientation].mirror_x ? GRID - 1 - to_x : to_x;
            to_y = turns[orientation].mirror_y ? GRID - 1 - to_y : to_y;
            turned[to_y][to_x] = (int32_t)((h->cells[y * GRID + x] * FRACTION + area / 2) / area);
        }
}

static bool is_flat(int32_t cells[GRID][GRID])
{
    int32_t least = cells[0][0], most = cells[0][0];
    for (int i = 0; i < GRID * GRID; i++) {
        const int32_t value = cells[i / GRID][i % GRID];
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    return most - least < LEAST_CONTRAST * FRACTION;
}

/* round(cos(k pi / 64) * 2^14) */
static int64_t cosine(uint32_t k)
{
    static const int16_t table[GRID + 1] = {16384, 16364, 16305, 16207, 16069, 15893, 15679, 15426, 15137, 14811, 14449,
                                            14053, 13623, 13160, 12665, 12140, 11585, 11003, 10394, 9760,  9102,  8423,
                                            7723,  7005,  6270,  5520,  4756,  3981,  3196,  2404,  1606,  804,   0};
    k %= 4 * GRID;
    if (k > 2 * GRID)
        k = 4 * GRID - k;
    return k > GRID ? -table[2 * GRID - k] : table[k];
}

/* DCT-II along y, then along x; only the low frequencies. */
static void transform(int32_t cells[GRID][GRID], int64_t low[FREQUENCIES][FREQUENCIES])
{
    int64_t columns[FREQUENCIES][GRID];
    for (uint32_t v = 0; v < FREQUENCIES; v++)
        for (uint32_t x = 0; x < GRID; x++) {
            columns[v][x] = 0;
            for (uint32_t y = 0; y < GRID; y++)
                columns[v][x] += cells[y][x] * cosine((2 * y + 1) * v);
        }
    for (uint32_t v = 0; v < FREQUENCIES; v++)
        for (uint32_t u = 0; u < FREQUENCIES; u++) {
            low[v][u] = 0;
            for (uint32_t x = 0; x < GRID; x++)
                low[v][u] += columns[v][x] * cosine((2 * x + 1) * u);
        }
}

/* Bit k is the sign of the k-th coefficient, diagonal by diagonal (u + v = 1, 2, ...), u falling on each. */
static uint64_t signs(int64_t low[FREQUENCIES][FREQUENCIES])
{
    uint64_t hash = 0;
    int bit = 0;
    for (int diagonal = 1; bit < 64; diagonal++)
        for (int v = 0; v <= diagonal && bit < 64; v++)
            hash |= (uint64_t)(low[v][diagonal - v] > 0) << bit++;
    return hash ? hash : 1; /* 0 says that there is none */
}

static bool attempt(hasher *h)
{
    if (setjmp(h->session.failed))
        return false;
    read_cells(h);
    return true;
}

mm_status mm_image_phash(const void *data, size_t size, const mm_jpeg_options *options, uint64_t *hash, mm_error *err)
{
    *hash = 0;
    hasher h = {0};
    const mm_status status = mm_jpeg_session_open(&h.session, data, size, options ? options->max_pixels : 0, err);
    if (status != MM_OK)
        return status;
    const bool done = attempt(&h);
    mm_jpeg_session_close(&h.session);
    if (done) {
        int32_t cells[GRID][GRID];
        int64_t low[FREQUENCIES][FREQUENCIES];
        if (options && options->ignore_orientation)
            h.session.frame.orientation = 1;
        turn(&h, cells);
        if (!is_flat(cells)) {
            transform(cells, low);
            *hash = signs(low);
        }
    }
    free(h.row);
    free(h.cells);
    return done ? MM_OK : h.session.status;
}
