/* Architectures: the published models by the shapes that the reference's own code gives them
 * (tests/data/checkpoint/public_shapes.txt), variants of them, and everything that must be refused. */
#include "test_checkpoint_support.h"

static shape_list shapes;

static mm_status recognise(const char *metadata, mm_arch *arch, mm_error *err)
{
    const char *path = scratch_path("shapes.safetensors");
    write_shapes(&shapes, metadata, path);
    mm_checkpoint *checkpoint = opened(path);
    const mm_status status = mm_arch_recognise(checkpoint, NULL, arch, err);
    mm_checkpoint_close(checkpoint);
    return status;
}

static mm_arch recognised(const char *metadata)
{
    mm_arch arch;
    mm_error err = {0};
    ck_assert_msg(recognise(metadata, &arch, &err) == MM_OK, "%s", err.text);
    return arch;
}

static void is_refused(const char *metadata, const char *words)
{
    mm_arch arch;
    mm_error err = {0};
    ck_assert_msg(recognise(metadata, &arch, &err) != MM_OK, "was not refused: %s", words);
    ck_assert_msg(strstr(err.text, words) != NULL, "\"%s\" lacks \"%s\"", err.text, words);
}

static void has_public_decoder(const mm_arch *arch)
{
    ck_assert_uint_eq(arch->image_size, 1024);
    ck_assert_uint_eq(arch->embedding_side, 64);
    ck_assert_uint_eq(arch->prompt_embed_dim, 256);
    ck_assert_uint_eq(arch->mask_in_chans, 16);
    ck_assert_uint_eq(arch->decoder.depth, 2);
    ck_assert_uint_eq(arch->decoder.num_heads, 8);
    ck_assert_uint_eq(arch->decoder.mlp_dim, 2048);
    ck_assert_uint_eq(arch->decoder.cross_dim, 128);
    ck_assert_uint_eq(arch->decoder.mask_tokens, 4);
    ck_assert_uint_eq(arch->decoder.iou_head_depth, 3);
    ck_assert_uint_eq(arch->decoder.iou_head_hidden_dim, 256);
    ck_assert_uint_eq(arch->decoder.hyper_depth, 3);
    ck_assert(arch->pixel_mean[0] == 123.675f && arch->pixel_mean[1] == 116.28f && arch->pixel_mean[2] == 103.53f);
    ck_assert(arch->pixel_std[0] == 58.395f && arch->pixel_std[1] == 57.12f && arch->pixel_std[2] == 57.375f);
}

START_TEST(published_vits)
{
    static const struct {
        const char *file, *name;
        uint32_t embed_dim, depth, num_heads, period; /* every period-th block is global */
    } models[] = {{"vit_b", "SAM ViT-B", 768, 12, 12, 3},
                  {"vit_l", "SAM ViT-L", 1024, 24, 16, 6},
                  {"vit_h", "SAM ViT-H", 1280, 32, 16, 8}};
    for (size_t m = 0; m < 3; m++) {
        load_shapes(&shapes, models[m].file);
        const mm_arch arch = recognised(NULL);
        ck_assert_int_eq(arch.family, MM_FAMILY_VIT);
        ck_assert_str_eq(arch.name, models[m].name);
        has_public_decoder(&arch);
        ck_assert_uint_eq(arch.vit.patch_size, 16);
        ck_assert_uint_eq(arch.vit.embed_dim, models[m].embed_dim);
        ck_assert_uint_eq(arch.vit.depth, models[m].depth);
        ck_assert_uint_eq(arch.vit.num_heads, models[m].num_heads);
        ck_assert_uint_eq(arch.vit.mlp_dim, 4 * models[m].embed_dim);
        ck_assert_uint_eq(arch.vit.window_size, 14);
        ck_assert(arch.vit.qkv_bias && arch.vit.abs_pos && arch.vit.rel_pos);
        for (uint32_t i = 0; i < arch.vit.depth; i++)
            ck_assert_int_eq(arch.vit.global_attention[i], (i + 1) % models[m].period == 0);
    }
}
END_TEST

START_TEST(published_mobile_sam)
{
    static const uint32_t widths[4] = {64, 128, 160, 320}, depths[4] = {2, 2, 6, 2}, heads[4] = {2, 4, 5, 10};
    static const uint32_t windows[4] = {7, 7, 14, 7}, sides[4] = {256, 128, 64, 64};
    load_shapes(&shapes, "mobile_sam");
    const mm_arch arch = recognised(NULL);
    ck_assert_int_eq(arch.family, MM_FAMILY_TINY_VIT);
    ck_assert_str_eq(arch.name, "MobileSAM");
    has_public_decoder(&arch);
    for (int i = 0; i < 4; i++) {
        ck_assert_uint_eq(arch.tiny.embed_dims[i], widths[i]);
        ck_assert_uint_eq(arch.tiny.depths[i], depths[i]);
        ck_assert_uint_eq(arch.tiny.num_heads[i], heads[i]);
        ck_assert_uint_eq(arch.tiny.window_sizes[i], windows[i]);
        ck_assert_uint_eq(arch.tiny.resolution[i], sides[i]);
        ck_assert_uint_eq(arch.tiny.mlp_hidden[i], i ? 4 * widths[i] : 0);
    }
    ck_assert_uint_eq(arch.tiny.mbconv_hidden, 256);
    ck_assert_uint_eq(arch.tiny.local_conv_size, 3);
    ck_assert(arch.tiny.downsample_between[0] && arch.tiny.downsample_between[1] && !arch.tiny.downsample_between[2]);
}
END_TEST

START_TEST(a_decoder_of_three_layers_is_known_by_its_widths)
{
    load_shapes(&shapes, "vit_b");
    const size_t count = shapes.count;
    for (size_t i = 0; i < count; i++) {
        char *layer = strstr(shapes.rows[i].name, "transformer.layers.1.");
        if (!layer)
            continue;
        shapes.rows[shapes.count] = shapes.rows[i];
        layer = strstr(shapes.rows[shapes.count++].name, "transformer.layers.1.");
        layer[strlen("transformer.layers.")] = '2';
    }
    const mm_arch arch = recognised(NULL);
    ck_assert_uint_eq(arch.decoder.depth, 3);
    ck_assert_uint_eq(arch.decoder.num_heads, 8);
    ck_assert_str_eq(arch.name, "ViT 768x12");
}
END_TEST

START_TEST(missing_surplus_and_misshapen_tensors_are_named)
{
    static const char *const each[] = {"image_encoder.blocks.7.attn.proj.bias", "image_encoder.neck.2.weight",
                                       "image_encoder.patch_embed.proj.bias", "image_encoder.blocks.11.norm1.weight",
                                       "prompt_encoder.not_a_point_embed.weight",
                                       "mask_decoder.output_hypernetworks_mlps.3.layers.1.weight"};
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        load_shapes(&shapes, "vit_b");
        drop_shape(&shapes, each[i]);
        /* Without its norm1 the last block is not counted, and what is left of it is surplus. */
        is_refused(NULL, strstr(each[i], "blocks.11") ? "image_encoder.blocks.11." : each[i]);
        load_shapes(&shapes, "vit_b");
        set_shape(&shapes, each[i], "5x7");
        is_refused(NULL, each[i]);
    }
    load_shapes(&shapes, "vit_b");
    add_shape(&shapes, "image_encoder.extra.weight", "F32", "3");
    is_refused(NULL, "image_encoder.extra.weight is no part of SAM ViT-B");
    load_shapes(&shapes, "vit_b");
    set_shape(&shapes, "image_encoder.blocks.3.attn.qkv.weight", "2304x767");
    is_refused(NULL, "image_encoder.blocks.3.attn.qkv.weight has the shape 2304x767 instead of 2304x768");
    load_shapes(&shapes, "vit_b");
    drop_shape(&shapes, "image_encoder.neck.1.bias");
    add_shape(&shapes, "image_encoder.neck.1.bias", "I64", "256");
    is_refused(NULL, "image_encoder.neck.1.bias holds integers");
    load_shapes(&shapes, "mobile_sam");
    drop_shape(&shapes, "image_encoder.layers.2.blocks.5.local_conv.bn.running_var");
    is_refused(NULL, "image_encoder.layers.2.blocks.5.local_conv.bn.running_var is missing");
    load_shapes(&shapes, "mobile_sam");
    add_shape(&shapes, "image_encoder.layers.2.blocks.0.attn.ab", "F32", "5x196x196");
    is_refused(NULL, "attn.ab is no part of MobileSAM");
}
END_TEST

/* Each tensor of each family in turn: left out, it is missed, except for what nothing reads. */
START_TEST(no_tensor_can_be_left_out)
{
    static const char *const models[] = {"vit_b", "mobile_sam"};
    for (size_t m = 0; m < 2; m++) {
        static shape_list whole;
        load_shapes(&whole, models[m]);
        for (size_t i = 0; i < whole.count; i++) {
            mm_arch arch;
            shapes = whole;
            const char *name = whole.rows[i].name;
            const bool unused = strstr(name, "num_batches_tracked") || strstr(name, "encoder.head.") ||
                                strstr(name, "encoder.norm_head.");
            shapes.rows[i] = shapes.rows[--shapes.count];
            const mm_status status = recognise(NULL, &arch, NULL);
            ck_assert_msg((status == MM_OK) == unused, "%s without %s", models[m], whole.rows[i].name);
        }
    }
}
END_TEST

START_TEST(numbers_beyond_every_model_are_refused)
{
    load_shapes(&shapes, "vit_b");
    set_shape(&shapes, "image_encoder.patch_embed.proj.weight", "1000000x3x16x16");
    is_refused(NULL, "embed_dim is 1000000");
    load_shapes(&shapes, "vit_b");
    set_shape(&shapes, "image_encoder.pos_embed", "1x1000x1000x768");
    is_refused(NULL, "side");
    load_shapes(&shapes, "vit_b");
    set_shape(&shapes, "mask_decoder.mask_tokens.weight", "4000000000x1");
    is_refused(NULL, "mask tokens");
    load_shapes(&shapes, "vit_b");
    set_shape(&shapes, "image_encoder.blocks.0.attn.rel_pos_h", "26x64");
    is_refused(NULL, "26 rows");
    load_shapes(&shapes, "vit_b");
    set_shape(&shapes, "image_encoder.blocks.1.attn.rel_pos_h", "29x64");
    is_refused(NULL, "windows of 14 and of 15");
    load_shapes(&shapes, "vit_b");
    set_shape(&shapes, "image_encoder.blocks.0.attn.rel_pos_h", "27x100");
    is_refused(NULL, "rel_pos_h");
    load_shapes(&shapes, "mobile_sam");
    set_shape(&shapes, "image_encoder.layers.1.blocks.0.attn.attention_biases", "4x50");
    is_refused(NULL, "no square");
    load_shapes(&shapes, "mobile_sam");
    set_shape(&shapes, "image_encoder.layers.1.blocks.0.attn.attention_biases", "3x49");
    is_refused(NULL, "do not divide");
    load_shapes(&shapes, "vit_b");
    set_shape(&shapes, "image_encoder.patch_embed.proj.weight", "0x3x16x16");
    is_refused(NULL, "dimension of 0");
    shapes.count = 0;
    add_shape(&shapes, "layer1.conv.weight", "F32", "3x3");
    is_refused(NULL, "another network");
}
END_TEST

START_TEST(what_shapes_do_not_tell_is_asked_for)
{
    mm_arch arch;
    mm_error err = {0};
    mm_checkpoint *vit = opened(DATA "vit.safetensors"), *tiny = opened(DATA "tiny_vit.pth");
    ck_assert_int_eq(mm_arch_recognise(vit, NULL, &arch, &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "decoder.num_heads"));
    ck_assert_ptr_nonnull(strstr(err.text, "--model-config"));
    ck_assert_int_eq(mm_arch_recognise(vit, DATA "vit.json", &arch, &err), MM_OK);
    ck_assert_str_eq(arch.name, "ViT 12x2");
    ck_assert_uint_eq(arch.vit.num_heads, 3);
    ck_assert_uint_eq(arch.vit.window_size, 3);
    ck_assert(!arch.vit.global_attention[0] && arch.vit.global_attention[1]);
    ck_assert_uint_eq(arch.embedding_side, 4);
    ck_assert_uint_eq(arch.decoder.cross_dim, 8);

    ck_assert_int_eq(mm_arch_recognise(tiny, NULL, &arch, &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "image_size"));
    ck_assert_int_eq(mm_arch_recognise(tiny, DATA "tiny_vit.json", &arch, &err), MM_OK);
    ck_assert_str_eq(arch.name, "TinyViT 4-8-12-16");
    ck_assert_uint_eq(arch.tiny.resolution[0], 16);
    ck_assert_uint_eq(arch.tiny.resolution[3], 4);
    ck_assert_uint_eq(arch.tiny.window_sizes[2], 5);
    ck_assert_uint_eq(arch.tiny.mlp_hidden[2], 30);
    ck_assert_int_eq(mm_arch_recognise(tiny, scratch_path("absent.json"), &arch, &err), MM_ERR_IO);
    ck_assert_int_eq(mm_arch_recognise(tiny, scratch, &arch, &err), MM_ERR_USAGE);
    mm_checkpoint_close(vit);
    mm_checkpoint_close(tiny);
}
END_TEST

static void config_is_refused(const mm_checkpoint *checkpoint, const char *json, const char *words)
{
    mm_arch arch;
    mm_error err = {0};
    const char *path = scratch_path("config.json");
    write_bytes(path, json, strlen(json));
    ck_assert_msg(mm_arch_recognise(checkpoint, path, &arch, &err) == MM_ERR_USAGE, "was not refused: %s", json);
    ck_assert_msg(strstr(err.text, words) != NULL, "\"%s\" lacks \"%s\"", err.text, words);
}

START_TEST(configs_that_contradict_the_shapes_are_refused_by_key)
{
    static const char *const vit[][2] = {
        {"{\"family\": \"tiny_vit\"}", "family"},
        {"{\"image_size\": 64}", "image_size is 64, but the tensors say 32"},
        {"{\"image_size\": -1}", "image_size"},
        {"{\"image_size\": 32.0}", "image_size"},
        {"{\"patch_size\": 16}", "patch_size"},
        {"{\"num_heads\": 4}", "num_heads is 4, but the tensors say 3"},
        {"{\"mlp_ratio\": 3}", "mlp_ratio"},
        {"{\"window_size\": 2, \"decoder\": {\"num_heads\": 2}}", "window_size is 2"},
        {"{\"global_attention\": [0], \"decoder\": {\"num_heads\": 2}}", "global_attention"},
        {"{\"global_attention\": [2]}", "global_attention"},
        {"{\"qkv_bias\": false}", "qkv_bias is false"},
        {"{\"embedding_stride\": 16}", "embedding_stride"},
        {"{\"decoder\": {\"num_heads\": 3}}", "decoder.num_heads 3 does not divide"},
        {"{\"decoder\": {\"num_heads\": 0}}", "decoder.num_heads"},
        {"{\"decoder\": {\"depth\": 1}}", "decoder.depth is 1, but the tensors say 2"},
        {"{\"decoder\": {\"attention_downsample_rate\": 4}}", "attention_downsample_rate"},
        {"{\"decoder\": {\"num_multimask_outputs\": 1}}", "num_multimask_outputs"},
        {"{\"decoder\": {\"heads\": 1}}", "unknown key decoder.heads"},
        {"{\"embed_dims\": [1, 2, 3, 4]}", "unknown key embed_dims"},
        {"{\"pixel_std\": [1, 0, 1]}", "pixel_std"},
        {"{\"pixel_mean\": [1, 2]}", "pixel_mean"},
        {"{\"image_size\": 32, \"image_size\": 32}", "duplicate"},
        {"[1]", "not a JSON object"},
        {"{\"image_size\": 32", "config.json: line 1"},
        {"", "config.json"},
    };
    static const char *const tiny[][2] = {
        {"{\"image_size\": 64}", "downsample_between_stages"},
        {"{\"embed_dims\": [4, 8, 12, 17]}", "embed_dims is 17, but the tensors say 16"},
        {"{\"embed_dims\": [4, 8, 12]}", "embed_dims"},
        {"{\"depths\": [1, 1, 3, 1]}", "depths"},
        {"{\"num_heads\": [1, 1, 3, 4]}", "num_heads is 1, but the tensors say 2"},
        {"{\"window_sizes\": [7, 7, 5, 3]}", "window_sizes is 7, but the tensors say 4"},
        {"{\"mlp_ratio\": 4}", "mlp_ratio"},
        {"{\"mbconv_expand_ratio\": 4}", "mbconv_expand_ratio"},
        {"{\"local_conv_size\": 5}", "local_conv_size"},
        {"{\"downsample_between_stages\": [true, 1, false]}", "downsample_between_stages"},
        {"{\"downsample_between_stages\": [true, true, true], \"embedding_stride\": 16}", "embedding_stride is 16"},
        {"{\"image_size\": 72, \"downsample_between_stages\": [true, true, false], \"decoder\": {\"num_heads\": 4}}",
         "not a multiple"},
        {"{\"image_size\": 100000}", "image_size"},
    };
    mm_checkpoint *checkpoint = opened(DATA "vit.safetensors");
    for (size_t i = 0; i < sizeof vit / sizeof vit[0]; i++)
        config_is_refused(checkpoint, vit[i][0], vit[i][1]);
    mm_checkpoint_close(checkpoint);
    checkpoint = opened(DATA "tiny_vit.pth");
    for (size_t i = 0; i < sizeof tiny / sizeof tiny[0]; i++)
        config_is_refused(checkpoint, tiny[i][0], tiny[i][1]);
    mm_checkpoint_close(checkpoint);
}
END_TEST

START_TEST(a_window_as_large_as_the_embedding_is_global)
{
    load_shapes(&shapes, "vit_b");
    for (unsigned i = 0; i < 12; i++)
        for (int axis = 0; axis < 2; axis++) {
            char name[96];
            (void)snprintf(name, sizeof name, "image_encoder.blocks.%u.attn.rel_pos_%c", i, axis ? 'w' : 'h');
            set_shape(&shapes, name, "127x64");
        }
    const mm_arch arch = recognised("{\\\"window_size\\\": 64, \\\"global_attention\\\": [2, 5]}");
    ck_assert_uint_eq(arch.vit.window_size, 0);
    for (uint32_t i = 0; i < 12; i++)
        ck_assert(arch.vit.global_attention[i]);
}
END_TEST

START_TEST(without_relative_positions_a_config_tells_heads_and_windows)
{
    load_shapes(&shapes, "vit_b");
    for (unsigned i = 0; i < 12; i++)
        for (int axis = 0; axis < 2; axis++) {
            char name[96];
            (void)snprintf(name, sizeof name, "image_encoder.blocks.%u.attn.rel_pos_%c", i, axis ? 'w' : 'h');
            drop_shape(&shapes, name);
        }
    is_refused(NULL, "num_heads");
    is_refused("{\\\"num_heads\\\": 12}", "window_size and global_attention");
    const mm_arch arch = recognised(
        "{\\\"num_heads\\\": 12, \\\"window_size\\\": 8, \\\"global_attention\\\": [2, 5, 8, 11]}");
    ck_assert_uint_eq(arch.vit.num_heads, 12);
    ck_assert_uint_eq(arch.vit.window_size, 8);
    ck_assert(arch.vit.global_attention[2] && !arch.vit.global_attention[3]);
    ck_assert(!arch.vit.rel_pos);
}
END_TEST

/* The JSON of an architecture gives the same architecture back, number by number. */
START_TEST(json_comes_back)
{
    static const char *const models[] = {"vit_b", "vit_h", "mobile_sam"};
    for (size_t m = 0; m < 3; m++) {
        load_shapes(&shapes, models[m]);
        mm_arch arch = recognised("{\\\"pixel_mean\\\": [0, 0, 0], \\\"pixel_std\\\": [0.1, 255, 57.12]}");
        ck_assert(arch.pixel_mean[0] == 0 && arch.pixel_std[0] == 0.1f && arch.pixel_std[1] == 255);
        char *json, *json_again;
        ck_assert_int_eq(mm_arch_to_json(&arch, &json, NULL), MM_OK);
        const char *config = scratch_path("own.json");
        write_bytes(config, json, strlen(json));
        mm_checkpoint *checkpoint = opened(scratch_path("shapes.safetensors"));
        mm_arch again;
        mm_error err = {0};
        ck_assert_msg(mm_arch_recognise(checkpoint, config, &again, &err) == MM_OK, "%s", err.text);
        ck_assert_int_eq(mm_arch_to_json(&again, &json_again, NULL), MM_OK);
        ck_assert_str_eq(json, json_again);
        ck_assert(memcmp(arch.pixel_mean, again.pixel_mean, sizeof arch.pixel_mean) == 0);
        ck_assert(memcmp(arch.pixel_std, again.pixel_std, sizeof arch.pixel_std) == 0);
        ck_assert_uint_eq(arch.image_size, again.image_size);
        ck_assert(memcmp(&arch.decoder, &again.decoder, sizeof arch.decoder) == 0);
        free(json);
        free(json_again);
        mm_checkpoint_close(checkpoint);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/arch");
    TCase *tests = tcase_create("arch");
    tcase_add_unchecked_fixture(tests, scratch_make, scratch_remove);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, published_vits);
    tcase_add_test(tests, published_mobile_sam);
    tcase_add_test(tests, a_decoder_of_three_layers_is_known_by_its_widths);
    tcase_add_test(tests, missing_surplus_and_misshapen_tensors_are_named);
    tcase_add_test(tests, no_tensor_can_be_left_out);
    tcase_add_test(tests, numbers_beyond_every_model_are_refused);
    tcase_add_test(tests, what_shapes_do_not_tell_is_asked_for);
    tcase_add_test(tests, configs_that_contradict_the_shapes_are_refused_by_key);
    tcase_add_test(tests, a_window_as_large_as_the_embedding_is_global);
    tcase_add_test(tests, without_relative_positions_a_config_tells_heads_and_windows);
    tcase_add_test(tests, json_comes_back);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
