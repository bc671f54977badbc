#include "loop/yaml.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { MOST_BYTES = 1 << 20 };

static mm_status refuse_parser(const mm_yaml *yaml, const yaml_parser_t *parser, mm_error *err)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return mm_fail_memory(err, "a configuration");
    if (parser->error == YAML_READER_ERROR) /* libyaml reads ahead and knows only the offset */
        return mm_fail(err, MM_ERR_USAGE, "%s: byte %zu: %s; a config is UTF-8 text", yaml->file,
                       parser->problem_offset, parser->problem);
    return mm_fail(err, MM_ERR_USAGE, "%s:%zu: is not YAML: %s", yaml->file, parser->problem_mark.line + 1,
                   parser->problem);
}

static mm_status load(mm_yaml *yaml, yaml_parser_t *parser, mm_error *err)
{
    if (!yaml_parser_load(parser, &yaml->document))
        return refuse_parser(yaml, parser, err);
    yaml->loaded = true;
    if (!yaml_document_get_root_node(&yaml->document))
        return MM_OK;
    yaml_document_t more;
    if (!yaml_parser_load(parser, &more))
        return refuse_parser(yaml, parser, err);
    const yaml_node_t *second = yaml_document_get_root_node(&more);
    const mm_status status =
        second ? mm_yaml_refuse(yaml, second, err, "a second document begins here; a config is one") : MM_OK;
    yaml_document_delete(&more);
    return status;
}

mm_status mm_yaml_open(const char *path, mm_yaml *yaml, yaml_node_t **root, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    yaml_parser_t parser;
    *yaml = (mm_yaml){.file = path};
    *root = NULL;
    mm_status status = mm_file_read(path, MOST_BYTES, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    if (yaml_parser_initialize(&parser)) {
        yaml_parser_set_input_string(&parser, bytes, size);
        status = load(yaml, &parser, err);
        yaml_parser_delete(&parser);
    } else {
        status = mm_fail_memory(err, "a configuration");
    }
    free(bytes);
    if (status == MM_OK)
        *root = yaml_document_get_root_node(&yaml->document);
    return status;
}

void mm_yaml_close(mm_yaml *yaml)
{
    if (yaml->loaded)
        yaml_document_delete(&yaml->document);
    yaml->loaded = false;
}

mm_status mm_yaml_locate(const mm_yaml *yaml, const yaml_node_t *at, mm_error *err)
{
    return mm_error_prefix(err, "%s:%zu", yaml->file, at->start_mark.line + 1);
}

mm_status mm_yaml_refuse(const mm_yaml *yaml, const yaml_node_t *at, mm_error *err, const char *format, ...)
{
    char text[MM_ERROR_TEXT];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    return mm_fail(err, MM_ERR_USAGE, "%s:%zu: %s", yaml->file, at->start_mark.line + 1, text);
}

mm_status mm_yaml_refuse_key(const mm_yaml_key *key, mm_error *err, const char *format, ...)
{
    char text[MM_ERROR_TEXT];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    return mm_yaml_refuse(key->yaml, key->node, err, "%s%.60s: %s", key->where, key->name, text);
}

const char *mm_yaml_text(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE)
        return NULL;
    const char *text = (const char *)node->data.scalar.value;
    return strlen(text) == node->data.scalar.length ? text : NULL;
}

bool mm_yaml_is_empty(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0 &&
           node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

mm_status mm_yaml_each(mm_yaml *yaml, yaml_node_t *section, const char *where, mm_yaml_take *take, void *user,
                       mm_error *err)
{
    if (mm_yaml_is_empty(section))
        return MM_OK;
    if (section->type != YAML_MAPPING_NODE)
        return mm_yaml_refuse(yaml, section, err, "%.*s: is a section; write its keys indented below it",
                              (int)(strlen(where) ? strlen(where) - 1 : 0), where);
    const yaml_node_pair_t *first = section->data.mapping.pairs.start, *end = section->data.mapping.pairs.top;
    for (const yaml_node_pair_t *pair = first; pair < end; pair++) {
        mm_yaml_key key = {yaml, where, NULL, yaml_document_get_node(&yaml->document, pair->key),
                           yaml_document_get_node(&yaml->document, pair->value)};
        key.name = mm_yaml_text(key.node);
        if (!key.name || !*key.name)
            return mm_yaml_refuse(yaml, key.node, err, "%sa key must be a plain word", where);
        for (const yaml_node_pair_t *before = first; before < pair; before++)
            if (strcmp(mm_yaml_text(yaml_document_get_node(&yaml->document, before->key)), key.name) == 0)
                return mm_yaml_refuse_key(&key, err, "stands here a second time; keep one");
        const mm_status status = take(user, &key, err);
        if (status != MM_OK)
            return status;
    }
    return MM_OK;
}

size_t mm_yaml_items(const yaml_node_t *list)
{
    if (list->type != YAML_SEQUENCE_NODE)
        return mm_yaml_is_empty(list) ? 0 : 1;
    return (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
}

yaml_node_t *mm_yaml_item(mm_yaml *yaml, yaml_node_t *list, size_t i)
{
    if (list->type != YAML_SEQUENCE_NODE)
        return list;
    return yaml_document_get_node(&yaml->document, list->data.sequence.items.start[i]);
}

mm_status mm_yaml_number(const mm_yaml_key *key, double least, double most, bool whole, double *number, mm_error *err)
{
    const char *text = mm_yaml_text(key->value);
    char *end = NULL;
    *number = text && *text && strspn(text, "0123456789+-.eE") == strlen(text) ? strtod(text, &end) : NAN;
    if (end && *end == '\0' && *number >= least && *number <= most && (!whole || *number == floor(*number)))
        return MM_OK;
    return mm_yaml_refuse_key(key, err, "%.40s: give a %snumber from %.10g to %.10g", text ? text : "a list or section",
                              whole ? "whole " : "", least, most);
}

mm_status mm_yaml_u32(const mm_yaml_key *key, uint32_t least, uint32_t most, uint32_t *number, mm_error *err)
{
    double value;
    const mm_status status = mm_yaml_number(key, least, most, true, &value, err);
    if (status == MM_OK)
        *number = (uint32_t)value;
    return status;
}

mm_status mm_yaml_choice(const mm_yaml_key *key, const char *const *words, size_t count, uint32_t *choice,
                         mm_error *err)
{
    const char *text = mm_yaml_text(key->value);
    char list[200] = "";
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (text && strcmp(text, words[i]) == 0) {
            *choice = (uint32_t)i;
            return MM_OK;
        }
        const int more = snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " or ",
                                  words[i]);
        used += more > 0 && (size_t)more < sizeof list - used ? (size_t)more : 0;
    }
    return mm_yaml_refuse_key(key, err, "%.40s: give %s", text ? text : "a list or section", list);
}

mm_status mm_yaml_switch(const mm_yaml_key *key, bool *on, mm_error *err)
{
    static const char *const words[] = {"false", "true"};
    uint32_t choice = 0;
    const mm_status status = mm_yaml_choice(key, words, 2, &choice, err);
    if (status == MM_OK)
        *on = choice == 1;
    return status;
}
