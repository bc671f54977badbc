/* Shards and the dataset over them: HDF5 files, all datasets chunked, shuffle + deflate, little-endian.
 *
 * OUT/shards/sa_000000.h5 holds images k*S .. (k+1)*S-1 of the manifest, in that order, whoever made them:
 *   /images/image_id u64[n], file_name vlen-utf8[n], width u32[n], height u32[n], status u8[n], mask_offset u64[n+1]
 *   /masks/bbox f32[m,4] XYWH, area u32[m], predicted_iou f32[m], stability_score f32[m], point_coords f32[m,2],
 *          crop_box f32[m,4] XYWH, rle_offset u64[m+1], source u8[m]
 *   /rle u8[b]: COCO compressed counts end to end; mask i is rle[rle_offset[i] : rle_offset[i+1]]
 *   /confident, /hints (only where asked for): further masks of the images, each with mask_offset u64[n+1], the columns
 *          of /masks, rle_offset and rle; /confident also detector_score f32[m]
 *   /masks/annotator u16[m], seconds f32[m], clicks u16[m] and /annotators vlen-utf8[a]: what people did, where they did
 *   /statistics/...: u64 counts and histograms, named as in stats.h; single counts are [1]
 *   attributes: format_version, config (YAML text), model (name), model_sha256, first_image u64, masks_digest u64
 * OUT/dataset.h5 shows all shards as one: virtual datasets over the columns, real and global offset arrays, merged
 * /statistics, and in /shards the list of shards. HDF5 reads a missing shard as zeros, so opening checks each.
 *
 * The first 512 bytes of each file are its seal (kind, size, digest of the rest), checked before HDF5 sees the file: a
 * shard that was cut or changed is an error, never a crash. docs/formats.md has all of it.
 *
 * HDF5 is not thread-safe: all of these, and those of corpus.h that touch a manifest's file, belong to one thread. */
#ifndef MASKMILL_SHARD_H
#define MASKMILL_SHARD_H

#include "maskmill/comm.h"
#include "maskmill/corpus.h"
#include "maskmill/journal.h"
#include "maskmill/stats.h"

/* What all shards of a dataset have in common. */
typedef struct mm_shard_origin {
    const char *config_yaml;
    const char *model_name;
    const char *model_sha256; /* 64 hex digits */
    const char *detector_sha256; /* of the file of the detector that confident masks come of; may be NULL */
    bool confident, hints;    /* there are these further masks of each image */
    bool human;               /* /masks has the columns of what people did */
    const char *const *annotators; /* [annotator_count]: names that are not empty; masks name them by number, from 1 */
    size_t annotator_count;        /* at most 65535 */
} mm_shard_origin;

/* A copy with strings of its own; freed with mm_shard_origin_free. */
MM_RESULT_USED mm_status mm_shard_origin_copy(const mm_shard_origin *origin, mm_shard_origin *copy, mm_error *err);
/* Only for what mm_shard_origin_copy made. */
void mm_shard_origin_free(mm_shard_origin *origin);
/* In which respect they differ, such as "model file"; NULL if they are equal. */
const char *mm_shard_origin_difference(const mm_shard_origin *a, const mm_shard_origin *b);

/* Path of shard k under `out` into path[size]. */
MM_RESULT_USED mm_status mm_shard_path(const char *out, uint64_t shard, char *path, size_t size, mm_error *err);

/* Write shard `shard` from its records (records[i] is image first_image + i; file_names[i] its name) and commit it:
 * temporary name in the same folder, H5Fclose, fsync, rename, fsync of the folder. Equal input gives equal bytes. Images
 * that are done have the further masks that `origin` says and no others (MM_ERR_INTERNAL otherwise); records without the
 * columns of what people did have zeros there, if `origin` says that there are such columns. */
MM_RESULT_USED mm_status mm_shard_write(const char *out, uint64_t shard, uint64_t first_image,
                                        const mm_record *records, const char *const *file_names, size_t count,
                                        const mm_shard_origin *origin, mm_error *err);

/* What a shard that was written before holds, for a run that goes on. */
typedef struct mm_shard_content {
    uint64_t images, masks;
    uint64_t *set_aside; /* [set_aside_count]: ids of its images of status 2, rising; the caller frees it */
    size_t set_aside_count;
} mm_shard_content;

/* Is shard `shard` there, whole, of this origin, and of images first_image .. first_image + count - 1? Reads the
 * file once through. *there is false, and the rest empty, if there is no such file; MM_ERR_FORMAT if it is damaged
 * or another one. */
MM_RESULT_USED mm_status mm_shard_examine(const char *out, uint64_t shard, uint64_t first_image, uint64_t count,
                                          const mm_shard_origin *origin, bool *there, mm_shard_content *content,
                                          mm_error *err);

/* Write OUT/dataset.h5 over shards first_shard .. first_shard + shard_count - 1, all of which must be there and whole.
 * Memory does not grow with the masks. A full disk is MM_ERR_IO, and leaves nothing behind. Collective if `comm` is not
 * NULL: the ranks share reading the shards, and rank 0 writes. */
MM_RESULT_USED mm_status mm_dataset_index(const char *out, uint64_t first_shard, uint64_t shard_count,
                                          const mm_shard_origin *origin, mm_comm *comm, mm_error *err);

typedef struct mm_dataset mm_dataset;

/* `path` is the folder that `run` wrote, its dataset.h5, or a single shard. */
MM_RESULT_USED mm_status mm_dataset_open(const char *path, mm_dataset **dataset, mm_error *err);
void mm_dataset_close(mm_dataset *dataset);
uint64_t mm_dataset_images(const mm_dataset *dataset);
uint64_t mm_dataset_masks(const mm_dataset *dataset);
uint64_t mm_dataset_shards(const mm_dataset *dataset);
/* Shard k of the dataset (k counts from 0 also where the shards' numbers do not): its number, and where its rows
 * are. */
typedef struct mm_shard_span {
    uint64_t number, first_row, images, first_mask, masks;
} mm_shard_span;
mm_shard_span mm_dataset_span(const mm_dataset *dataset, uint64_t k);
const char *mm_dataset_folder(const mm_dataset *dataset);
/* What it was made with; belongs to the dataset. */
const mm_shard_origin *mm_dataset_origin(const mm_dataset *dataset);
/* The configuration it was made with, as YAML text, from its dataset.h5. The caller frees *yaml. */
MM_RESULT_USED mm_status mm_dataset_config(const mm_dataset *dataset, char **yaml, mm_error *err);
MM_RESULT_USED mm_status mm_dataset_statistics(const mm_dataset *dataset, mm_stats *stats, mm_error *err);
/* Row of the image with this name (whole, or its last component if unique) or number; MM_ERR_USAGE if there is none. */
MM_RESULT_USED mm_status mm_dataset_find(const mm_dataset *dataset, const char *what, uint64_t *row, mm_error *err);
/* One image with its masks and, where the dataset has them, further masks; the caller frees the record and *file_name. */
MM_RESULT_USED mm_status mm_dataset_read(const mm_dataset *dataset, uint64_t row, mm_record *record, char **file_name,
                                         mm_error *err);

typedef struct mm_verify_report {
    uint64_t images, masks, shards;
    uint64_t faults;   /* what was found wrong */
    char first[512];   /* the first fault, one line: shard, image, mask, what */
    bool unfinished;   /* a folder whose run has not ended: only the shards that are there were looked at */
    uint64_t journals; /* its shards under way */
} mm_verify_report;

/* Structure, offsets, ids, every RLE against its area and box, digests, statistics recomputed. Faults are reported,
 * not returned as errors; an unreadable file is a fault too. `path` is what mm_dataset_open takes, or the folder of a
 * run that has not ended.
 * Collective if `comm` is not NULL: its ranks share the shards, and rank 0 gets the report and writes to `out` (may be
 * NULL) one line a fault, those of dataset.h5 first, then those of the shards in their order, whoever found them. */
MM_RESULT_USED mm_status mm_dataset_verify(const char *path, mm_comm *comm, FILE *out, mm_verify_report *report,
                                           mm_error *err);

/* Which masks exports to JSON are to write: "masks" (the default), "confident" or "hints"; MM_ERR_USAGE if the dataset has
 * none of these. */
MM_RESULT_USED mm_status mm_dataset_choose_masks(mm_dataset *dataset, const char *which, mm_error *err);
/* One JSON an image into `folder`, as SA-1B has them: {"image": {image_id, width, height, file_name}, "annotations":
 * [{id, segmentation: {size, counts}, bbox, area, predicted_iou, stability_score, point_coords, crop_box}]}.
 * Annotation ids count over the whole dataset, from 1. */
MM_RESULT_USED mm_status mm_dataset_export_sa1b(const mm_dataset *dataset, const char *folder, uint64_t *written,
                                                mm_error *err);
/* One instances.json in COCO's own layout (images, annotations, one category "object"), streamed. */
MM_RESULT_USED mm_status mm_dataset_export_coco(const mm_dataset *dataset, const char *folder, uint64_t *written,
                                                mm_error *err);

/* SA-1B as it is handed out: for each shard one sa_000000.tar of the photographs, byte for byte as the corpus has them,
 * each followed by its JSON: sa_<image_id>.jpg, sa_<image_id>.json, for all images that are done. Equal input gives
 * equal bytes. A photograph that is missing, or has another length than `manifest` says, is an error that names it;
 * a tar is there whole or not at all. Collective if `comm` is not NULL: ranks share the shards, and *written counts the
 * images of all of them on rank 0. */
MM_RESULT_USED mm_status mm_dataset_export_tar(const mm_dataset *dataset, const mm_manifest *manifest, mm_comm *comm,
                                               const char *folder, uint64_t *written, mm_error *err);

/* The reference's JSON for one image (coco_rle output mode), to `out`: a list of annotations. */
MM_RESULT_USED mm_status mm_annotations_print_json(const mm_annotations *annotations, FILE *out, mm_error *err);
/* The same with "detector_score" for each mask. */
MM_RESULT_USED mm_status mm_confident_print_json(const mm_annotations *annotations, const float *scores, FILE *out,
                                                 mm_error *err);

#endif
