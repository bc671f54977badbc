/* A deterministic photograph-like picture: gradients, shapes of many sizes and colours, noise. */
#include "engine/bench_parts.h"

typedef struct shape {
    bool ellipse;
    int x, y, half_width, half_height; /* centre and half axes, in thousandths of the picture's sides */
    uint8_t rgb[3];
    uint8_t shade; /* how much darker its lower edge is */
} shape;

/* Later ones lie on top. */
static const shape shapes[] = {
    {false, 500, 850, 500, 150, {88, 120, 60}, 40},  {true, 820, 170, 70, 105, {250, 230, 150}, 10},
    {false, 210, 560, 130, 230, {170, 90, 70}, 30},  {false, 210, 690, 35, 100, {80, 50, 40}, 5},
    {false, 140, 480, 28, 40, {190, 215, 235}, 30},  {false, 280, 480, 28, 40, {190, 215, 235}, 30},
    {true, 520, 430, 105, 160, {50, 110, 50}, 60},   {false, 520, 660, 17, 130, {95, 65, 40}, 20},
    {true, 480, 380, 12, 17, {200, 40, 40}, 30},     {true, 545, 430, 12, 17, {205, 45, 40}, 30},
    {true, 510, 490, 12, 17, {195, 40, 45}, 30},     {false, 760, 730, 150, 70, {45, 75, 150}, 40},
    {false, 770, 640, 85, 50, {60, 95, 175}, 20},    {false, 735, 645, 32, 34, {200, 220, 235}, 20},
    {false, 810, 645, 32, 34, {200, 220, 235}, 20},  {true, 680, 800, 38, 57, {25, 25, 28}, 10},
    {true, 680, 800, 18, 27, {150, 150, 155}, 20},   {true, 845, 800, 38, 57, {25, 25, 28}, 10},
    {true, 845, 800, 18, 27, {150, 150, 155}, 20},   {true, 330, 150, 90, 45, {240, 242, 246}, 35},
    {true, 400, 175, 70, 38, {236, 238, 243}, 35},   {true, 110, 110, 60, 30, {238, 240, 245}, 35},
    {false, 930, 560, 22, 300, {110, 112, 118}, 15}, {true, 930, 250, 30, 34, {255, 240, 190}, 60},
    {true, 60, 900, 34, 40, {140, 135, 125}, 50},    {true, 130, 930, 26, 30, {150, 142, 130}, 50},
    {true, 340, 900, 20, 24, {225, 190, 60}, 20},    {true, 390, 930, 20, 24, {220, 120, 160}, 20},
    {true, 440, 905, 20, 24, {235, 235, 240}, 20},   {true, 580, 930, 55, 34, {120, 80, 50}, 30},
    {true, 630, 895, 22, 27, {125, 85, 55}, 20},     {true, 636, 890, 3, 4, {15, 15, 15}, 0},
};

/* A well-mixed number of a pixel [lowbias32 of C. Wellons]. */
static uint32_t mixed(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

static uint8_t clamped(int level)
{
    return (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
}

static void draw_background(mm_image *picture)
{
    const int width = (int)picture->width, height = (int)picture->height;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint8_t *pixel = picture->pixels + ((size_t)y * picture->width + (size_t)x) * 3;
            pixel[0] = clamped(90 + 100 * y / height + 20 * x / width);
            pixel[1] = clamped(150 + 70 * y / height);
            pixel[2] = clamped(235 - 20 * x / width);
        }
}

static void draw_shape(mm_image *picture, const shape *s)
{
    const int64_t width = picture->width, height = picture->height;
    const int64_t cx = s->x * width / 1000, cy = s->y * height / 1000;
    const int64_t rx = s->half_width * width / 1000, ry = s->half_height * height / 1000;
    for (int64_t y = cy - ry < 0 ? 0 : cy - ry; y <= cy + ry && y < height; y++)
        for (int64_t x = cx - rx < 0 ? 0 : cx - rx; x <= cx + rx && x < width; x++) {
            const int64_t dx = (x - cx) * ry, dy = (y - cy) * rx;
            if (s->ellipse && dx * dx + dy * dy > rx * rx * ry * ry)
                continue;
            uint8_t *pixel = picture->pixels + ((size_t)y * picture->width + (size_t)x) * 3;
            const int darker = (int)(s->shade * (y - cy + ry) / (2 * ry + 1));
            for (int c = 0; c < 3; c++)
                pixel[c] = clamped(s->rgb[c] - darker);
        }
}

static void add_noise(mm_image *picture)
{
    const size_t pixels = (size_t)picture->width * picture->height;
    for (size_t i = 0; i < pixels; i++) {
        const uint32_t noise = mixed((uint32_t)i);
        for (int c = 0; c < 3; c++)
            picture->pixels[3 * i + (size_t)c] =
                clamped(picture->pixels[3 * i + (size_t)c] + (int)(noise >> (8 * c) & 15) - 7);
    }
}

mm_status mm_bench_picture(uint32_t width, uint32_t height, mm_image *picture, mm_error *err)
{
    const mm_status status = mm_image_new(width, height, picture, err);
    if (status != MM_OK)
        return status;
    draw_background(picture);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        draw_shape(picture, &shapes[i]);
    add_noise(picture);
    return MM_OK;
}
