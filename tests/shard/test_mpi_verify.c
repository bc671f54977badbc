/* Making dataset.h5 and verifying on all ranks: the same bytes as one process makes; planted damage is found, and told
 * in the same words and order as by one process. Rank 0 plants it; one test in all, since ranks must not go separate ways after a failure. */
#include "mpi_check.h"
#include "shard/dataset_fixture.h"

#include "corpus/h5.h"

enum { SHARDS = 13 };

static mm_comm *comm;

/* Change a value, and give the file the seal that it would have had. */
static void lie_about_area(const char *path)
{
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), dataset = H5Dopen2(file, "/masks/area", H5P_DEFAULT);
    uint32_t area[15];
    mm_must(H5Dread(dataset, H5T_NATIVE_UINT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, area) >= 0);
    area[3]++;
    mm_must(H5Dwrite(dataset, H5T_NATIVE_UINT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, area) >= 0);
    mm_must(H5Dclose(dataset) >= 0 && H5Fclose(file) >= 0);
    size_t size;
    uint8_t *bytes = get_bytes(path, &size);
    mm_seal_stamp("shard", bytes, size, NULL);
    put_bytes(path, bytes, size);
    free(bytes);
}

static void plant(void)
{
    mm_error err = {0};
    size_t size;
    put_dataset(scratch, SHARDS);
    /* A wrong area that even dataset.h5 knows. */
    lie_about_area(at("shards/sa_000005.h5"));
    mm_must_ok(mm_dataset_index(scratch, 0, SHARDS, &origin, NULL, &err), err);
    /* A wrong area that it does not know; a flipped byte; two shards in each other's place; one missing; one cut. */
    lie_about_area(at("shards/sa_000011.h5"));
    free(get_bytes(at("shards/sa_000001.h5"), &size));
    flip_byte(at("shards/sa_000001.h5"), size / 2, 4);
    mm_must(rename(at("shards/sa_000002.h5"), at("kept")) == 0);
    mm_must(rename(at("shards/sa_000003.h5"), at("shards/sa_000002.h5")) == 0);
    mm_must(rename(at("kept"), at("shards/sa_000003.h5")) == 0);
    mm_must(unlink(at("shards/sa_000008.h5")) == 0);
    mm_must(truncate(at("shards/sa_000012.h5"), 2000) == 0);
}

/* dataset.h5 by all ranks is that of one, and a missing shard is every rank's failure. */
static void index_together(bool first)
{
    mm_error err = {0};
    size_t size = 0, again = 0;
    uint8_t *alone = NULL, *together;
    if (first) {
        put_dataset(scratch, SHARDS);
        alone = get_bytes(at("dataset.h5"), &size);
        mm_must(unlink(at("dataset.h5")) == 0);
    }
    mm_must_ok(mm_comm_barrier(comm, &err), err);
    mm_must_ok(mm_dataset_index(scratch, 0, SHARDS, &origin, comm, &err), err);
    if (first) {
        together = get_bytes(at("dataset.h5"), &again);
        mm_must(size == again && memcmp(alone, together, size) == 0);
        free(together);
        mm_must(rename(at("shards/sa_000009.h5"), at("kept")) == 0);
    }
    free(alone);
    mm_must_ok(mm_comm_barrier(comm, &err), err);
    mm_must(mm_dataset_index(scratch, 0, SHARDS, &origin, comm, &err) == MM_ERR_IO && strstr(err.text, "sa_000009.h5"));
    mm_must_ok(mm_comm_barrier(comm, &err), err);
}

static char *verify(mm_comm *with, const char *path, mm_verify_report *report)
{
    mm_error err = {0};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    mm_must(out);
    mm_must_ok(mm_dataset_verify(path, with, out, report, &err), err);
    mm_must(fclose(out) == 0);
    return text;
}

static void expect_findings(const char *text)
{
    static const char *const wanted[] = {"sa_000001.h5 is damaged",
                                         "sa_000002.h5 is not the shard that",
                                         "sa_000003.h5 is not the shard that",
                                         "sa_000005.h5: image 20, mask 3: its runs cover",
                                         "sa_000008.h5",
                                         "sa_000011.h5 is not the shard that",
                                         "sa_000011.h5: image 44, mask 3: its runs cover",
                                         "sa_000012.h5"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const char *found = strstr(text, wanted[i]);
        if (!found)
            (void)fprintf(stderr, "no \"%s\" behind\n%s\n", wanted[i], text);
        mm_must(found);
        text = found; /* in this order */
    }
}

START_TEST(planted_damage_is_found_by_any_number_of_ranks)
{
    mm_error err = {0};
    mm_verify_report alone = {0}, together = {0};
    char *expected = NULL, *found;
    const bool first = mm_comm_rank(comm) == 0;
    if (first)
        scratch_make();
    mm_must_ok(mm_comm_broadcast(comm, 0, scratch, sizeof scratch, &err), err);
    index_together(first);
    if (first) {
        plant();
        expected = verify(NULL, scratch, &alone);
        expect_findings(expected);
    }
    mm_must_ok(mm_comm_barrier(comm, &err), err);
    found = verify(comm, scratch, &together);
    if (first) {
        mm_must(strcmp(expected, found) == 0);
        mm_must(memcmp(&alone, &together, sizeof alone) == 0);
        mm_must(together.shards == SHARDS && !together.unfinished);
    } else {
        mm_must(*found == '\0');
    }
    free(found);
    free(expected);
    /* Without dataset.h5 the run has not ended: what is there is looked at, journals are counted. */
    if (first) {
        mm_must(unlink(at("dataset.h5")) == 0);
        put_folder("journal");
        put_text("journal/sa_000008.mmj", "");
        put_text("journal/hand.0", "");
        expected = verify(NULL, scratch, &alone);
        mm_must(strstr(expected, "image 20, mask 3") && strstr(expected, "sa_000012.h5"));
        mm_must(!strstr(expected, "is not the shard") && !strstr(expected, "sa_000008"));
        mm_must(alone.unfinished && alone.journals == 1 && alone.shards == SHARDS - 1);
    }
    mm_must_ok(mm_comm_barrier(comm, &err), err);
    found = verify(comm, scratch, &together);
    mm_must(!first || (strcmp(expected, found) == 0 && memcmp(&alone, &together, sizeof alone) == 0));
    free(found);
    if (first) {
        free(expected);
        scratch_remove();
    }
    /* What is nothing at all is an error, the same on all. */
    mm_must(mm_dataset_verify("/nowhere", comm, NULL, &together, &err) == MM_ERR_IO);
}
END_TEST

int main(void)
{
    mm_error err = {0};
    mm_must_ok(mm_comm_start(NULL, NULL, &comm, &err), err);
    Suite *suite = suite_create("shard/mpi_verify");
    TCase *tests = tcase_create("verify");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, planted_damage_is_found_by_any_number_of_ranks);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    mm_must(srunner_ntests_failed(runner) == 0);
    srunner_free(runner);
    mm_comm_stop(comm);
    return 0;
}
